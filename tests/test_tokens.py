"""Named entities, the whole road: rows of words and tags in, a student that tags words out."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.recipe import DataConfig, TeacherConfig, TeachRecipe, TrainingConfig
from limbeck.distill import distill
from limbeck.errors import DataError, RecipeError, TeacherError
from limbeck.teach import teach
from limbeck.training.log import read_log

FIRST, LAST, TOWNS = ["anna", "boris", "clara"], ["smith", "jones"], ["rome", "oslo", "lima"]
FILLER = ["the", "man", "saw", "a", "dog", "in", "and", "was", "on", "with", "rain"]
NAMES = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def tagged(count: int, *, seed: int) -> list[dict[str, Any]]:
    """Rows of words with persons (one or two words) and towns; a full stop of its own ends them."""
    generator = random.Random(seed)
    rows = []
    for _ in range(count):
        tokens, tags = [], []
        for _ in range(generator.randrange(3, 8)):
            chance = generator.random()
            if chance < 0.2:
                tokens += [generator.choice(FIRST), generator.choice(LAST)]
                tags += ["B-PER", "I-PER"]
            elif chance < 0.3:
                tokens.append(generator.choice(FIRST))
                tags.append("B-PER")
            elif chance < 0.45:
                tokens.append(generator.choice(TOWNS))
                tags.append("B-LOC")
            else:
                tokens.append(generator.choice(FILLER))
                tags.append("O")
        rows.append({"tokens": [*tokens, "."], "ner_tags": [*tags, "O"]})
    return rows


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _base(folder: Path, write_tokenizer: Callable[..., Any], *, head: str = "") -> Path:
    """A tiny BERT without a head, or one with a random head."""
    import torch
    import transformers

    tokenizer = write_tokenizer(folder, extra=["rome", "oslo", ".", "##nna"])
    names = NAMES if head == "TokenClassification" else ["bad", "good"]
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=64, id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kind = f"BertFor{head}" if head else "BertModel"
        getattr(transformers, kind)(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of tagged words, one of them in CoNLL's form, and one of plain texts."""
    folder = tmp_path_factory.mktemp("tagged")
    validation = "\n".join(
        "".join(f"{w} {t}\n" for w, t in zip(row["tokens"], row["ner_tags"], strict=True))
        for row in tagged(60, seed=2)
    )
    (folder / "validation.conll").write_text(validation, encoding="utf-8")
    plain = [{"text": " ".join(row["tokens"][:-1]) + "."} for row in tagged(80, seed=4)]
    return {
        "train": _write(folder / "train.jsonl", tagged(300, seed=1)),
        "validation": folder / "validation.conll",
        "test": _write(folder / "test.jsonl", tagged(120, seed=3)),
        "plain": _write(folder / "plain.jsonl", plain),
    }


@pytest.fixture(scope="module")
def tagger(
    tmp_path_factory: pytest.TempPathFactory,
    rows: dict[str, Path],
    write_tokenizer: Callable[..., Any],
) -> Path:
    """A teacher of entities that `teach` made."""
    folder = tmp_path_factory.mktemp("tagger")
    _base(folder / "base", write_tokenizer)
    score = teach(
        TeachRecipe(
            base=TeacherConfig(path=str(folder / "base")),
            data=DataConfig(
                train=str(rows["train"]), validation=str(rows["validation"]), max_tokens=48
            ),
            training=TrainingConfig(
                epochs=6,
                learning_rate=3e-3,
                batch_rows=32,
                precision="float32",
                attention="sdpa",
                threads=1,
            ),
            output=str(folder / "teacher"),
        )
    )
    assert score > 0.9
    return folder / "teacher"


@pytest.fixture(scope="module")
def make(tagger: Path, rows: dict[str, Path]) -> Callable[..., Any]:
    """Small recipes below a folder; keyword ``key__subkey`` sets ``key.subkey``."""
    from limbeck.config.load import load_recipe

    def recipe(folder: Path, **settings: Any) -> Any:
        values = {
            "teacher.path": str(tagger),
            "data.train": str(rows["train"]),
            "data.validation": str(rows["validation"]),
            "data.test": str(rows["test"]),
            "data.max_tokens": 48,
            "student.layers": 2,
            "knowledge.folder": str(folder / "knowledge"),
            "knowledge.precision": "float32",
            "knowledge.shard_rows": 128,
            "training.epochs": 2,
            "training.learning_rate": 1e-3,
            "training.batch_rows": 32,
            "training.precision": "float32",
            "training.attention": "sdpa",
            "training.threads": 1,
            "training.log_steps": 1,
            "evaluation.bootstrap": 100,
            "evaluation.speed_rounds": 1,
            "evaluation.speed_texts": 10,
            "evaluation.memory": False,
            "evaluation.control": False,
            "output": str(folder / "run"),
        }
        values.update({key.replace("__", "."): value for key, value in settings.items()})
        return load_recipe(None, values=values)

    return recipe


@pytest.fixture(scope="module")
def finished(
    make: Callable[..., Any], rows: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """A finished run with plain texts beside the tagged ones, a trimmed vocabulary and control."""
    folder = tmp_path_factory.mktemp("finished")
    made = make(
        folder,
        data__unlabelled=[str(rows["plain"])],
        student__vocabulary="trim",
        evaluation__control=True,
        evaluation__memory=True,
        training__epochs=3,
    )
    return folder / "run", distill(made)


def test_the_student_keeps_the_teachers_entities(finished: tuple[Path, Any]) -> None:
    """A road that loses an easy task is broken somewhere."""
    _, report = finished
    assert report.task == "token_classification"
    assert report.score_name == "entity F1"
    assert report.teacher.score.value > 0.9
    assert report.retention.value > 0.9
    assert report.student.score.low <= report.student.score.value <= report.student.score.high
    assert set(report.student.per_class) == {"LOC", "PER"}
    assert report.student.peak_memory_mb is not None
    assert report.data["unlabelled_rows"] == 80


def test_the_score_is_that_of_transformers_answers_counted_by_hand(
    finished: tuple[Path, Any], rows: dict[str, Path]
) -> None:
    """The figure must be of the model that users load, word by word off first tokens."""
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    folder, report = finished
    tokenizer = AutoTokenizer.from_pretrained(folder / "student")
    model = AutoModelForTokenClassification.from_pretrained(folder / "student").eval()
    right = said = there = 0
    for line in rows["test"].read_text().splitlines():
        row = json.loads(line)
        inputs = tokenizer(row["tokens"], is_split_into_words=True, return_tensors="pt")
        with torch.inference_mode():
            best = model(**inputs).logits[0].argmax(-1).tolist()
        firsts: dict[int, int] = {}
        for place, word in enumerate(inputs.word_ids()):
            if word is not None:
                firsts.setdefault(word, place)
        tags = [model.config.id2label[best[firsts[w]]] for w in range(len(row["tokens"]))]
        own, gold = _spans(tags), _spans(row["ner_tags"])
        right, said, there = right + len(own & gold), said + len(own), there + len(gold)
    assert report.student.score.value == pytest.approx(2 * right / (said + there))


def _spans(tags: list[str]) -> set[tuple[str, int, int]]:
    """Entities by a rule of its own: B-X and all I-X right after it."""
    found = set()
    for start, tag in enumerate(tags):
        if tag.startswith("B-"):
            end = start + 1
            while end < len(tags) and tags[end] == f"I-{tag[2:]}":
                end += 1
            found.add((tag[2:], start, end))
    return found


def test_exports_answer_as_the_student_does(finished: tuple[Path, Any]) -> None:
    """A gate that compares nothing would let anything through."""
    _, report = finished
    exports = {export.name: export for export in report.exports}
    for name in ("onnx", "onnx_fused"):
        assert exports[name].score is not None, exports[name].reason
        assert exports[name].flips == 0
        assert exports[name].score_change == 0


def test_transformers_pipeline_serves_the_student(finished: tuple[Path, Any]) -> None:
    """The folder is what users deploy."""
    from transformers import pipeline

    tag = pipeline(
        "token-classification",
        model=str(finished[0] / "student"),
        aggregation_strategy="first",
        device="cpu",
    )
    found = [(one["entity_group"], one["word"]) for one in tag("the man saw anna smith in oslo .")]
    assert found == [("PER", "anna smith"), ("LOC", "oslo")]


def test_the_predictor_finds_entities_in_plain_texts(finished: tuple[Path, Any]) -> None:
    """Characters, not words, are what a user's text can be marked with."""
    from limbeck.serve.predictor import Predictor

    text = "the man saw  anna smith (in oslo)."
    for bulk in (False, True):
        [one, nothing] = Predictor(finished[0], bulk=bulk).predict([text, "a dog in the rain"])
        assert [(e.type, e.text) for e in one.entities] == [("PER", "anna smith"), ("LOC", "oslo")]
        assert all(text[e.start : e.end] == e.text for e in one.entities)
        assert all(0.2 < e.probability <= 1 for e in one.entities)
        assert nothing.entities == ()


def test_predict_writes_entities_as_json_lines(finished: tuple[Path, Any], tmp_path: Path) -> None:
    """Programs read these keys."""
    from limbeck.cli.predicting import predict_file

    texts = _write(tmp_path / "texts.jsonl", [{"text": "a dog in rome"}, {"text": "the rain"}])
    predict_file(finished[0], str(texts), None, None, tmp_path / "out.jsonl")
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert first["entities"][0].keys() == {"type", "start", "end", "text", "probability"}
    assert (first["entities"][0]["type"], first["entities"][0]["start"]) == ("LOC", 9)
    assert second == {"entities": []}


@pytest.mark.parametrize("method", ["logits", "hidden", "tinybert"])
def test_live_teacher_and_recorded_knowledge_give_the_same_losses(
    make: Callable[..., Any], tmp_path: Path, method: str
) -> None:
    """Recording is a shortcut, not another method; here words of all rows must stay in order."""
    losses = {}
    for source in ("recorded", "live"):
        made = make(
            tmp_path, method=method, knowledge__source=source, output=str(tmp_path / source)
        )
        distill(made)
        lines = read_log(tmp_path / source / "log.jsonl")
        losses[source] = [line["loss"] for line in lines if "loss" in line]
    np.testing.assert_allclose(losses["recorded"], losses["live"], rtol=1e-4)


def test_a_resumed_run_gives_the_same_student(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interruption must cost time only."""
    from safetensors.numpy import load_file

    from limbeck.training.step import Stepper

    distill(make(tmp_path, output=str(tmp_path / "straight")))
    take = Stepper.take

    def interrupted(self: Any, rows: Any, number: int, *rest: Any, **more: Any) -> Any:
        if number == 8:
            raise KeyboardInterrupt
        return take(self, rows, number, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "take", interrupted)
        with pytest.raises(KeyboardInterrupt):
            distill(make(tmp_path, training__checkpoint_steps=3))
    distill(make(tmp_path, training__checkpoint_steps=3))
    one, two = (
        load_file(tmp_path / name / "student" / "model.safetensors") for name in ("straight", "run")
    )
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_parts_of_a_step_weigh_words(make: Callable[..., Any], tmp_path: Path) -> None:
    """2 x 16 rows must train like 1 x 32, though their words differ in number."""
    losses = []
    for parts in (1, 2):
        output = tmp_path / f"parts-{parts}"
        made = make(tmp_path, training__accumulate=parts, student__dropout=0.0, output=str(output))
        distill(made)
        losses.append([line["loss"] for line in read_log(output / "log.jsonl") if "loss" in line])
    np.testing.assert_allclose(losses[0][:5], losses[1][:5], rtol=1e-4)


def test_evaluate_compares_two_models_of_words(
    make: Callable[..., Any], finished: tuple[Path, Any], rows: dict[str, Path], tmp_path: Path
) -> None:
    """`limbeck evaluate` reads rows and heads by a road of its own."""
    from limbeck.compare import compare

    folder, report = finished
    found = compare(make(tmp_path, data__train=str(rows["test"])), str(folder / "student"))
    assert found.teacher.score.value == pytest.approx(report.teacher.score.value)
    assert found.student.score.value == pytest.approx(report.student.score.value)


def test_refuses_tags_that_are_not_iob2_with_their_row(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    """An I-X that goes on with nothing is no entity that could be counted."""
    bad = [*tagged(3, seed=5), {"tokens": ["in", "rome"], "ner_tags": ["O", "I-LOC"]}]
    with pytest.raises(DataError, match=r"row 4.*word 2"):
        distill(make(tmp_path, data__train=str(_write(tmp_path / "bad.jsonl", bad))))


def test_refuses_words_where_the_task_is_of_texts(
    make: Callable[..., Any], random_teacher: Path, tmp_path: Path
) -> None:
    """A classifier of texts says nothing about words."""
    with pytest.raises(DataError, match="task=token_classification"):
        distill(make(tmp_path, teacher__path=str(random_teacher)))


def test_refuses_texts_where_the_task_is_of_words(
    make: Callable[..., Any], files: dict[str, Path], tmp_path: Path
) -> None:
    """Labels of texts are no tags."""
    with pytest.raises(DataError, match="no column looks like the tokens"):
        distill(make(tmp_path, data__train=str(files["train"])))


def test_refuses_a_head_of_another_task(
    make: Callable[..., Any], random_teacher: Path, tmp_path: Path
) -> None:
    """Its outputs are of texts, whatever the recipe calls them."""
    with pytest.raises(TeacherError, match="token_classification"):
        distill(make(tmp_path, task="token_classification", teacher__path=str(random_teacher)))
    with pytest.raises(TeacherError, match="a head of words"):
        distill(make(tmp_path, task="single_label"))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"data__augment": {"copies": 1}}, "data.augment.copies"),
        ({"method": "exits"}, "terms"),
        ({"knowledge__source": "mutual"}, "knowledge.source"),
    ],
)
def test_refuses_what_is_of_whole_texts(
    make: Callable[..., Any], tmp_path: Path, settings: dict[str, Any], key: str
) -> None:
    """Better refused than trained towards something else."""
    with pytest.raises(RecipeError, match=key):
        distill(make(tmp_path, **settings))


def test_refuses_several_teachers(make: Callable[..., Any], tagger: Path, tmp_path: Path) -> None:
    """Mixing needs the same words of each, under tokenizers of their own."""
    with pytest.raises(RecipeError, match=r"ensemble\.teachers"):
        distill(make(tmp_path, ensemble__teachers=[str(tagger)]))


def test_refuses_a_teacher_of_other_tags(
    make: Callable[..., Any], tagger: Path, tmp_path: Path
) -> None:
    """Entities of tags in another scheme would be cut wrongly."""
    import shutil

    shutil.copytree(tagger, tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    config["id2label"]["1"] = "S-LOC"
    config["label2id"] = {name: int(place) for place, name in config["id2label"].items()}
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    with pytest.raises(TeacherError, match="S-LOC"):
        distill(make(tmp_path, teacher__path=str(tmp_path / "other")))


def test_a_student_with_tokens_of_its_own_learns_the_teachers_tags(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    """Tags are of words, which both tokenizers have; a word taken for another has its tag."""
    from limbeck.run.trial import trial
    from limbeck.tasks.task import score

    done = trial(
        make(
            tmp_path,
            student__tokenizer={"kind": "bpe", "size": 330},
            student__layers=4,
            objective__terms=[{"kind": "logits", "weight": 1.0}, {"kind": "hidden"}],
        )
    )
    assert done.plan.crossed is not None
    assert done.plan.crossed.unaligned is not None
    labels = done.plan.material.test.labels
    assert score(done.plan.task, done.teacher_logits, labels) > 0.9
    assert score(done.plan.task, done.student_logits, labels) > 0.85
