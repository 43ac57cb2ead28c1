"""Several domains, each with a teacher of its own, or with texts that all teachers answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.data.read import read_rows
from limbeck.errors import LimbeckError
from limbeck.run.plan import make_plan
from limbeck.run.recording import ask_teacher, load_teacher

NAMES = ["films", "dogs", None]


@pytest.fixture(scope="session")
def opposite(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights under the names of the other classes: a teacher that says the contrary."""
    folder = tmp_path_factory.mktemp("opposite") / "teacher"
    shutil.copytree(teacher, folder)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "positive", "1": "negative"}
    config["label2id"] = {"positive": 0, "negative": 1}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def domained(
    recipe: Callable[..., Any], opposite: Path, files: dict[str, Path], tmp_path: Path
) -> Callable[..., Any]:
    """Makes a recipe with two teachers; row n is of domain n modulo 3, the last being nobody's."""

    def make(**settings: Any) -> Any:
        lines = []
        for name in ("train", "unlabelled"):
            rows = [
                {**row, "topic": NAMES[number % 3]}
                for number, row in enumerate(read_rows(str(files[name])), start=1)
            ]
            lines.append("".join(json.dumps(row) + "\n" for row in rows))
            (tmp_path / f"{name}.jsonl").write_text(lines[-1], encoding="utf-8")
        values: dict[str, Any] = {
            "data__train": str(tmp_path / "train.jsonl"),
            "data__unlabelled": [str(tmp_path / "unlabelled.jsonl")],
            "data__domain_column": "topic",
            "ensemble__teachers": [str(opposite)],
            "ensemble__combine": "domain",
            "ensemble__domains": ["films", "dogs"],
        }
        values |= settings
        return recipe(**{key: value for key, value in values.items() if value is not None})

    return make


def test_each_rows_answer_is_that_of_its_domains_teacher(
    domained: Callable[..., Any], tmp_path: Path
) -> None:
    """A teacher of films knows nothing of dogs: what it says of them must not be learned."""
    plan = make_plan(domained(), cache=tmp_path / "cache")
    teacher = load_teacher(plan)
    knowledge = ask_teacher(plan, teacher, cache=tmp_path / "cache")
    alone = make_plan(
        domained(
            ensemble__teachers=None, ensemble__combine=None, ensemble__domains=None,
            data__domain_column=None,
        ),
        cache=tmp_path / "cache",
    )  # fmt: skip
    first = ask_teacher(alone, load_teacher(alone), cache=tmp_path / "cache").train
    assert knowledge.train is not None
    assert first is not None
    ids = list(plan.material.train.texts.ids)
    assert ids == list(alone.material.train.texts.ids)
    rows = np.random.default_rng(0).permutation(len(ids))
    said, own = knowledge.train.logits(rows).numpy(), first.logits(rows).numpy()
    domain = np.array([int(ids[row].split("/")[1]) % 3 for row in rows])
    np.testing.assert_allclose(said[domain == 0], own[domain == 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(said[domain == 1], own[domain == 1][:, ::-1], rtol=1e-4, atol=1e-5)
    even = said[domain == 2]  # one says p, the other 1 - p: together a half
    np.testing.assert_allclose(even[:, 0], even[:, 1], atol=1e-4)


def test_no_teacher_is_asked_about_anothers_domain(
    domained: Callable[..., Any], tmp_path: Path
) -> None:
    """Asking is what costs."""
    plan = make_plan(domained(), cache=tmp_path / "cache")
    ask_teacher(plan, load_teacher(plan), cache=tmp_path / "cache")
    rows = [
        json.loads(path.read_text())["rows"]
        for path in (tmp_path / "knowledge").glob("*/manifest.json")
    ]
    assert plan.domains is not None
    counts = [int(((plan.domains == one) | (plan.domains == -1)).sum()) for one in (0, 1)]
    assert set(counts) <= set(rows)
    assert len(plan.material.train.texts) not in rows


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no column": ({"data__domain_column": None}, "data.domain_column: this is missing"),
    "unknown": (
        {"ensemble__domains": ["films", "cats"]},
        "no training row is of the domain 'cats'",
    ),
    "count": ({"ensemble__domains": ["films"]}, "each of the 2 teachers"),
    "twice": ({"ensemble__domains": ["films", "films"]}, "each of the 2 teachers"),
    "unused": ({"ensemble__combine": "mean"}, "domains is set, but combine is mean"),
    "layers": ({"method": "hidden"}, "each domain has a teacher of its own"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_domains_that_say_nothing(
    name: str, domained: Callable[..., Any], tmp_path: Path
) -> None:
    """A misspelled domain would silently be answered by all teachers."""
    settings, message = REFUSED[name]
    with pytest.raises(LimbeckError, match=message):
        make_plan(domained(**settings), cache=tmp_path / "cache")
