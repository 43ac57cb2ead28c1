"""Students with a tokenizer of their own: the whole road of tasks of texts, and what is refused."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.distill import distill, plan_only
from limbeck.errors import DataError, LimbeckError, RecipeError
from limbeck.run.trial import trial
from limbeck.tasks.task import agreement
from limbeck.training.log import read_log

Make = Callable[..., Any]
OWN = {"kind": "wordpiece", "size": 90}
GOOD, BAD = ["bright", "lovely", "warm"], ["dull", "awful", "cold"]
PLAIN = ["the", "film", "was", "a", "story", "of", "one", "man", "and", "his", "dog"]


def test_the_student_keeps_the_teachers_answers(recipe: Make, tmp_path: Path) -> None:
    """A student that is fed other tokens than its rows were begun for would be at chance."""
    from transformers import AutoTokenizer, pipeline

    report = distill(
        recipe(
            student__tokenizer=OWN,
            objective__terms=[{"kind": "logits"}, {"kind": "hidden"}],
            evaluation__control=False,
        )
    )
    run = tmp_path / "run"
    assert report.retention is not None
    assert report.retention.value > 0.9
    tokenizer = AutoTokenizer.from_pretrained(run / "student")
    assert 49 < len(tokenizer) <= OWN["size"]
    facts = report.data["vocabulary"]
    assert facts["student_vocabulary"] == len(tokenizer)
    assert facts["student_tokens"] > facts["teacher_tokens"]
    assert facts["unaligned_share"] == 0.0
    assert any("tokens of its own" in note for note in report.training["student"]["notes"])
    exports = {one.name: one for one in report.exports}
    assert exports["onnx"].score_change == pytest.approx(0.0, abs=1e-6)
    classify = pipeline("text-classification", model=str(run / "student"), device="cpu")
    rows = [json.loads(line) for line in Path(report.recipe["data"]["test"]).read_text().split("\n") if line]  # fmt: skip  # noqa: E501
    told = [answer["label"] == "positive" for answer in classify([row["text"] for row in rows])]
    right = np.mean([said == bool(row["label"]) for said, row in zip(told, rows, strict=True)])
    assert right == pytest.approx(report.student.score.value, abs=0.02)


def test_live_and_recorded_answers_train_the_same_student(recipe: Make, tmp_path: Path) -> None:
    """Carried states that depend on where they come from would be two methods under one name."""
    logs = []
    terms = [
        {"kind": "logits"},
        {"kind": "hidden", "layer_map": "uniform_and_embeddings"},
        {"kind": "hidden", "tokens": "first"},
        {"kind": "similarity"},
    ]
    for source in ("recorded", "live"):
        folder = tmp_path / source
        trial(
            recipe(
                student__tokenizer={"kind": "bpe", "size": 320},
                student__hidden=16,
                objective__terms=terms,
                knowledge__source=source,
                knowledge__precision="float32",
                training__epochs=1,
                training__threads=1,
                training__accumulate=2,
            ),
            folder=folder,
        )
        logs.append([entry for entry in read_log(folder / "log.jsonl") if "loss" in entry])
    assert len(logs[0]) > 5
    names = [name for name in logs[0][0] if name.startswith(("hidden", "similarity", "logits"))]
    assert len(names) == 4
    for name in [*names, "loss"]:
        own, other = ([entry[name] for entry in log] for log in logs)
        assert own == pytest.approx(other, rel=2e-3), name


def _copy(model: Path, folder: Path, **changes: Any) -> str:
    """A model's folder with another part of its tokenizer."""
    shutil.copytree(model, folder)
    tree = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tree | changes))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["tokenizer_class"] = "PreTrainedTokenizerFast"  # BERT's puts its own parts in
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return str(folder)


def test_the_way_over_characters_is_the_way_over_ids_where_tokens_are_the_same(
    recipe: Make, random_teacher: Path, tmp_path: Path
) -> None:
    """What is carried over must change nothing where there is nothing to carry."""
    said, ways = [], []
    other = {"type": "WordPiece", "prefix": "@@", "cleanup": True}  # decodes alone, never cuts
    for name, changes in (("same", None), ("other", {"decoder": other})):
        folder = tmp_path / name
        place = str(random_teacher)
        if changes is not None:
            place = _copy(random_teacher, tmp_path / "student", **changes)
        done = trial(
            recipe(
                student__checkpoint=place, student__layers=4,
                objective__terms=[{"kind": "logits"}, {"kind": "hidden"}],
                training__epochs=1, training__threads=1,
            ),
            folder=folder,
        )  # fmt: skip
        said.append(done.student_logits)
        ways.append(done.plan.crossed is not None and done.plan.crossed.crossing is not None)
    assert ways == [False, True]
    assert np.array_equal(said[0], said[1])


def _pair(chance: random.Random) -> dict[str, Any]:
    praise, blame = chance.randrange(4), chance.randrange(4)
    first = chance.choices(PLAIN, k=4) + chance.choices(GOOD, k=praise)
    second = chance.choices(PLAIN, k=4) + chance.choices(BAD, k=blame)
    return {"text_a": " ".join(first), "text_b": " ".join(second), "score": 3 + praise - blame}


def _sets(chance: random.Random) -> dict[str, Any]:
    kinds = {"praise": GOOD, "blame": BAD}
    labels = [kind for kind in kinds if chance.random() < 0.4]
    words = chance.choices(PLAIN, k=5) + [chance.choice(kinds[label]) for label in labels]
    return {"text": " ".join(words), "labels": labels}


@pytest.mark.parametrize("name", ["pairs", "sets"])
def test_students_of_other_tasks_learn_their_teachers_answers(
    recipe: Make, random_teacher: Path, tmp_path: Path, name: str
) -> None:
    """Segments, or several labels, that are lost on the way would be lost without a word."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    chance, make = random.Random(0), {"pairs": _pair, "sets": _sets}[name]
    teacher = tmp_path / "teacher"
    kind = {"pairs": "regression", "sets": "multi_label_classification"}[name]
    names = {"pairs": ["score"], "sets": ["blame", "praise"]}[name]
    config = AutoConfig.from_pretrained(
        random_teacher, problem_type=kind, id2label=dict(enumerate(names)),
        label2id={label: index for index, label in enumerate(names)}, initializer_range=0.2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(teacher)
    AutoTokenizer.from_pretrained(random_teacher).save_pretrained(teacher)
    files = {}
    for split, count in {"train": 400, "validation": 40, "test": 40}.items():
        path = tmp_path / f"{split}.jsonl"
        rows = [make(chance) for _ in range(count)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        files[f"data__{split}"] = str(path)
    more = {"data__score_range": (0, 6)} if name == "pairs" else {}
    done = trial(
        recipe(
            teacher__path=str(teacher), student__tokenizer=OWN, data__max_tokens=60, **files,
            **more, student__layers=4, training__epochs=3,
            objective__terms=[{"kind": "logits", "weight": 1.0}, {"kind": "hidden"}],
        )
    )  # fmt: skip
    assert done.plan.crossed is not None
    assert done.plan.crossed.unaligned == 0.0
    own, theirs = done.student_logits, done.teacher_logits
    if name == "sets":
        assert agreement(done.plan.task, own, theirs) > 0.8
    for column in range(own.shape[1]):
        assert np.corrcoef(own[:, column], theirs[:, column])[0, 1] > 0.8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"student__vocabulary": "trim"}, "delete one of the two"),
        ({"student__checkpoint": "somewhere"}, "delete one of the two"),
        ({"student__budget": "size<=1MB", "student__layers": None}, "tokenizer is"),
        ({"student__tokenizer": {"kind": "unigram"}}, "'wordpiece' or 'bpe'"),
        ({"student__tokenizer": {"size": 30}}, "30 tokens are wanted"),
        ({"data__plain": ["."], "method": "distilbert"}, "asks the teacher about the very tokens"),
        ({"method": "minilm"}, "a term of kind attention compares how much each token looks"),
        (
            {"objective__terms": [{"kind": "logits"}, {"kind": "attention"}]},
            r"objective\.terms\[1\]: a term of kind attention",
        ),
    ],
)
def test_refuses_what_a_vocabulary_of_its_own_forbids(
    recipe: Make, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    """Before an hour of asking and training, not after."""
    with pytest.raises(LimbeckError, match=message):
        plan_only(
            recipe(**{"student__tokenizer": OWN, **settings}), cache=tmp_path / "knowledge/tokens"
        )


def test_refuses_tokens_that_the_teacher_has_not(
    recipe: Make, random_teacher: Path, tmp_path: Path
) -> None:
    """A student held to the states of a part of its tokens learns less than was asked for."""
    silent = {"type": "Replace", "pattern": {"Regex": "[a-z]*a[a-z]*"}, "content": ""}
    teacher = _copy(random_teacher, tmp_path / "deaf", normalizer=silent)
    settings = {
        "teacher__path": teacher, "student__checkpoint": str(random_teacher), "student__layers": 4,
    }  # fmt: skip
    hidden = [{"kind": "logits"}, {"kind": "hidden"}]
    cache = tmp_path / "knowledge" / "tokens"
    with pytest.raises(DataError, match=r"of \d+ student tokens.*allowed are 5\.0%"):
        plan_only(recipe(**settings, objective__terms=hidden), cache=cache)
    plan_only(recipe(**settings, objective__terms=[{"kind": "logits"}]), cache=cache)
    with pytest.raises(RecipeError, match=r"by student\.checkpoint the student has other tokens"):
        plan_only(recipe(**settings, objective__terms=[{"kind": "relations"}]), cache=cache)
