"""Cross-lingual students: translations are taught the vectors of their sources."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.load import load_recipe
from limbeck.distill import distill, plan_only
from limbeck.errors import LimbeckError
from limbeck.run.plan import make_plan
from limbeck.run.recording import ask_teacher, load_teacher

WORDS = ("film", "story", "man", "dog", "island", "sea", "rain", "bright", "dull", "cold", "warm")
OTHERS = {"de": {word: f"d{word}" for word in WORDS}, "fr": {word: f"f{word}" for word in WORDS}}


def _rows(count: int, *, seed: int, start: int = 0) -> list[dict[str, str]]:
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        words = generator.choice(WORDS, size=generator.integers(3, 8)).tolist()
        row = {"en": " ".join(words)}
        for side, table in OTHERS.items():
            row[side] = " ".join(table[word] for word in words)
        rows.append(row)
    return rows


def _write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def english(tmp_path_factory: pytest.TempPathFactory, write_tokenizer: Callable[..., Any]) -> Path:
    """A random encoder whose tokenizer has the words of all three languages."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("english")
    extra = [word for table in OTHERS.values() for word in table.values()]
    tokenizer = write_tokenizer(folder, extra=extra)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(config)
    model.embeddings.word_embeddings.weight.data *= 20  # so that texts of other words lie apart
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def parallel(english: Path, tmp_path: Path) -> Callable[..., Any]:
    """Makes a small recipe of parallel rows; keyword ``key__subkey`` sets ``key.subkey``."""

    def make(**more: Any) -> Any:
        values = {
            "teacher.path": str(english),
            "teacher.pooling": "mean",
            "teacher.normalize": True,
            "data.train": _write(tmp_path / "train.jsonl", _rows(300, seed=1)),
            "data.test": _write(tmp_path / "test.jsonl", _rows(60, seed=2)),
            "data.parallel.source": "en",
            "data.parallel.targets": ["de", "fr"],
            "data.max_tokens": 32,
            "student.layers": 2,
            "knowledge.folder": str(tmp_path / "knowledge"),
            "training.epochs": 6,
            "training.learning_rate": 3e-3,
            "training.batch_rows": 32,
            "training.precision": "float32",
            "training.attention": "sdpa",
            "training.threads": 1,
            "evaluation.bootstrap": 100,
            "evaluation.speed_rounds": 1,
            "evaluation.speed_texts": 10,
            "evaluation.memory": False,
            "output": str(tmp_path / "run"),
        }
        values.update({key.replace("__", "."): value for key, value in more.items()})
        return load_recipe(None, values={k: v for k, v in values.items() if v is not None})

    return make


def test_a_student_puts_translations_where_the_teacher_puts_the_source(
    parallel: Callable[..., Any],
) -> None:
    """The teacher knows no word of them: what finds them must have come over."""
    report = distill(parallel())
    assert report.score_name == "retrieval accuracy"
    assert report.teacher is not None
    assert report.teacher.score.value < 0.2
    assert report.student.score.value > 0.9
    assert set(report.student.metrics) == {"de_to_en", "en_to_de", "fr_to_en", "en_to_fr"}
    shares = list(report.student.metrics.values())
    assert report.student.score.value == pytest.approx(float(np.mean(shares)))
    assert report.arms.keys() <= {"teacher_int8"}
    assert "goes beyond the teacher" in report.verdict[0]


def test_the_teacher_reads_sources_alone_and_answers_for_all(
    parallel: Callable[..., Any], tmp_path: Path
) -> None:
    """An answer to a German text would teach what an English model makes of German."""
    recipe = parallel(data__test=None)
    plan = make_plan(recipe, cache=tmp_path / "cache")
    knowledge = ask_teacher(plan, load_teacher(plan), cache=tmp_path / "cache")
    texts, asked = plan.material.train.texts, plan.material.asked
    assert asked is not None
    assert knowledge.train is not None
    vectors = knowledge.train.logits(np.arange(len(texts))).numpy()
    ids = list(texts.ids)
    by_row: dict[str, list[int]] = {}
    for place, identity in enumerate(ids):
        by_row.setdefault("/".join(identity.split("/")[:2]), []).append(place)
    assert all(len(places) == 3 for places in by_row.values())
    for places in by_row.values():
        source = next(place for place in places if ids[place].count("/") == 1)
        assert all(asked[place] == source for place in places)
        for place in places:
            np.testing.assert_array_equal(vectors[place], vectors[source])
    recorded = list((tmp_path / "knowledge").glob("*/manifest.json"))
    rows = sorted(json.loads(path.read_text())["rows"] for path in recorded)
    assert rows[-1] == len(by_row)  # the sources; validation, in all languages, is the other


def test_plain_files_are_the_same_rows(parallel: Callable[..., Any], tmp_path: Path) -> None:
    """Corpora come as a file a language, line by line."""
    rows = _rows(40, seed=5)
    for side in ("en", "de", "fr"):
        lines = "".join(row[side] + "\n" for row in rows)
        (tmp_path / f"corpus.{side}").write_text(lines, encoding="utf-8")
    table = make_plan(
        parallel(data__train=_write(tmp_path / "same.jsonl", rows)), cache=tmp_path / "cache"
    )
    files = make_plan(
        parallel(data__train=str(tmp_path / "corpus.{side}")), cache=tmp_path / "cache"
    )
    assert files.material.fingerprints() == table.material.fingerprints()


def test_a_training_row_may_lack_a_translation(
    parallel: Callable[..., Any], tmp_path: Path
) -> None:
    """Corpora of several languages overlap in part."""
    rows = _rows(40, seed=5)
    for row in rows[::2]:
        row["fr"] = ""
    plan = make_plan(
        parallel(data__train=_write(tmp_path / "some.jsonl", rows)), cache=tmp_path / "cache"
    )
    sides = [identity.split("/")[2:] for identity in plan.material.train.texts.ids]
    assert sides.count(["fr"]) < sides.count(["de"]) == sides.count([])


def test_rows_that_are_judged_are_not_trained_on(
    parallel: Callable[..., Any], tmp_path: Path
) -> None:
    """A translation seen in training, under whatever source, is no test."""
    train, test = _rows(40, seed=5), _rows(20, seed=6)
    train[3] = {**train[3], "de": test[0]["de"]}
    plan = make_plan(
        parallel(
            data__train=_write(tmp_path / "leak.jsonl", train),
            data__test=_write(tmp_path / "judged.jsonl", test),
        ),
        cache=tmp_path / "cache",
    )
    ids = list(plan.material.train.texts.ids)
    assert not [identity for identity in ids if identity.split("/")[1] == "4"]


def _shorter(folder: Path) -> dict[str, Any]:
    for side, count in (("en", 5), ("de", 4), ("fr", 5)):
        (folder / f"short.{side}").write_text("a dog\n" * count)
    return {"data__train": str(folder / "short.{side}")}


def _without(side: str) -> Callable[[Path], dict[str, Any]]:
    def make(folder: Path) -> dict[str, Any]:
        rows = _rows(10, seed=1)
        rows[4][side] = " "
        return {("data__train" if side == "en" else "data__test"): _write(folder / "r.jsonl", rows)}

    return make


REFUSED: dict[str, tuple[Callable[[Path], dict[str, Any]], str]] = {
    "lengths": (_shorter, "different numbers of lines: .*en has 5, .*de has 4"),
    "no file": (lambda folder: {"data__train": str(folder / "no.{side}")}, r"no\.en: there is no"),
    "no source": (_without("en"), "row 5: there is no text in column 'en'"),
    "no judged translation": (_without("de"), "row 5: there is no text in column 'de'"),
    "column": (lambda _: {"data__parallel__targets": ["nl"]}, "there is no column 'nl'"),
    "twice": (lambda _: {"data__parallel__targets": ["en"]}, "'en' is named twice"),
    "layers": (lambda _: {"method": "hidden"}, "compares layers token by token"),
    "pairs": (lambda _: {"data__pair_column": "de"}, "rows of data.parallel have languages"),
    "copies": (lambda _: {"data__augment__copies": 1}, "is no translation of its row"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_rows_that_are_no_translations(
    name: str, parallel: Callable[..., Any], tmp_path: Path
) -> None:
    """A shift by one line teaches each sentence the vector of another, at a falling loss."""
    make, message = REFUSED[name]
    with pytest.raises(LimbeckError, match=message):
        plan_only(parallel(**make(tmp_path)), cache=tmp_path / "cache")


def test_refuses_translations_for_a_classifier(
    parallel: Callable[..., Any], teacher: Path, tmp_path: Path
) -> None:
    """Classes have no place where another language could be put."""
    recipe = parallel(teacher__path=str(teacher), teacher__pooling=None, teacher__normalize=None)
    with pytest.raises(LimbeckError, match="the teacher's task is single_label"):
        plan_only(recipe, cache=tmp_path / "cache")
