"""What students of rerankers learn from, and that parts of a step change nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.load import load_recipe
from limbeck.data.targets import labelled
from limbeck.distill import distill
from limbeck.errors import DataError, RecipeError, TeacherError
from limbeck.run.describe import describe
from limbeck.run.plan import make_plan
from limbeck.run.trial import trial
from limbeck.tasks.task import score
from limbeck.training.log import read_log

Make = Callable[..., Any]
Row = dict[str, Any]
Save = Callable[[Path, list[Row]], str]


def _terms(recipe: Any, **logits: Any) -> Any:
    terms = [{"kind": "hard", "weight": 0.1}, {"kind": "logits", "weight": 0.9, **logits}]
    changed = recipe.model_dump(mode="json", by_alias=True) | {"objective": {"terms": terms}}
    return type(recipe).model_validate(changed)


def test_margins_teach_the_scale_of_the_teachers_scores(make: Make, tmp_path: Path) -> None:
    """It is what margin_mse is chosen for; KL leaves the scale free."""
    found = trial(_terms(make(tmp_path), divergence="margin_mse"), folder=tmp_path / "run")
    targets = found.plan.material.test.labels
    assert score(found.plan.task, found.student_logits, targets) > 0.95
    spreads = [
        np.mean([scores.std() for scores in said.each()])
        for said in (found.student_logits, found.teacher_logits)
    ]
    assert spreads[0] == pytest.approx(spreads[1], rel=0.15)
    assert "logits_margin_mse" in read_log(tmp_path / "run" / "log.jsonl")[0]


def test_queries_without_labels_suffice(
    make: Make, tmp_path: Path, rows: dict[str, str], save: Save
) -> None:
    """A teacher scores what nobody has judged: it is what one has it for."""
    bare = [
        {k: v for k, v in json.loads(line).items() if k != "labels"}
        for line in Path(rows["train"]).read_text().splitlines()
    ]
    recipe = make(tmp_path, data__train=save(tmp_path / "bare.jsonl", bare))
    found = trial(recipe)
    assert not labelled(found.plan.material.train.labels).any()
    assert score(found.plan.task, found.student_logits, found.plan.material.test.labels) > 0.95


def test_parts_of_a_step_train_like_the_whole(make: Make, tmp_path: Path) -> None:
    """A query parted by memory's sake would compare other candidates, unnoticed."""
    losses, scores = [], []
    for parts in (1, 3):
        recipe = make(tmp_path, training__accumulate=parts, training__epochs=1)
        found = trial(recipe, folder=tmp_path / str(parts))
        losses.append([line["loss"] for line in read_log(tmp_path / str(parts) / "log.jsonl")
                       if "loss" in line])  # fmt: skip
        # A query's level has no gradient but rounding, which AdamW makes as large as any.
        scores.append(np.concatenate([one - one.mean() for one in found.student_logits.each()]))
    assert len(losses[0]) > 20
    np.testing.assert_allclose(*losses, rtol=0.02, atol=1e-3)
    np.testing.assert_allclose(losses[0][:3], losses[1][:3], rtol=1e-4)
    np.testing.assert_allclose(*scores, atol=0.05)


def test_a_training_query_keeps_few_candidates_and_a_judged_one_all(
    make: Make, tmp_path: Path
) -> None:
    """Fewer to choose from is an easier question, and its score another quantity."""
    plan = make_plan(make(tmp_path, data__candidates=3), cache=tmp_path / "cache")
    assert len(plan.encoded) == 300 * 3
    assert len(plan.material.test.labels.grades) == 50 * 5
    assert len(plan.material.validation.labels.grades) == 40 * 5
    lines = "\n".join(describe(plan))
    assert "reranking (900 candidates to learn from)" in lines


def test_queries_are_held_out_whole(make: Make, tmp_path: Path) -> None:
    """A query with candidates on both sides is not new to who is judged by it."""
    plan = make_plan(
        make(tmp_path, data__validation=None, data__test=None), cache=tmp_path / "cache"
    )
    train, held = (set(one.texts.texts) for one in (plan.material.train, plan.material.validation))
    assert len(held) == 30
    assert not train & held


def test_a_test_query_is_dropped_from_training(
    make: Make, tmp_path: Path, rows: dict[str, str], save: Save
) -> None:
    """With other candidates it is the same question."""
    train = [json.loads(line) for line in Path(rows["train"]).read_text().splitlines()]
    test = json.loads(Path(rows["test"]).read_text().splitlines()[0])
    leak = {"query": test["query"].upper(), "passages": ["a dog", "superb"], "labels": [0, 1]}
    source = save(tmp_path / "train.jsonl", [*train, leak])
    plan = make_plan(make(tmp_path, data__train=source), cache=tmp_path / "cache")
    assert plan.material.counts["train_rows_dropped"] == 1


def test_pruning_looks_at_whole_queries(make: Make, tmp_path: Path) -> None:
    """What a neuron is worth is a derivative of the loss, and that is one of lists."""
    recipe = make(tmp_path, training__epochs=1, student__pruning={"neurons": 32, "epochs": 1})
    found = trial(recipe)
    assert score(found.plan.task, found.student_logits, found.plan.material.test.labels) > 0.9


def test_a_folder_of_sentence_transformers_is_a_teacher(
    make: Make, ranker: Path, tmp_path: Path
) -> None:
    """Most rerankers are such folders; their scores may be sigmoids, and stay so."""
    library = pytest.importorskip("sentence_transformers", reason="it writes such folders")
    import torch

    library.CrossEncoder(
        str(ranker), device="cpu", activation_fn=torch.nn.Sigmoid()
    ).save_pretrained(str(tmp_path / "theirs"))
    recipe = make(
        tmp_path, teacher__path=str(tmp_path / "theirs"), training__epochs=1,
        evaluation__speed_texts=1,
    )  # fmt: skip
    report = distill(recipe)
    assert report.task == "reranking"
    from limbeck.runtime.transformers_model import from_folder
    from limbeck.serve.predictor import Predictor

    pairs = [("the film", "a superb dog"), ("the film", "a dull and awful story")]
    theirs = library.CrossEncoder(str(tmp_path / "theirs"), device="cpu", max_length=32)
    own = from_folder(str(tmp_path / "theirs"), max_tokens=32).logits(pairs)[:, 0]
    np.testing.assert_allclose(1 / (1 + np.exp(-own)), theirs.predict(pairs), atol=1e-5)
    student = library.CrossEncoder(str(tmp_path / "run" / "student"), device="cpu", max_length=32)
    logits = from_folder(str(tmp_path / "run" / "student"), max_tokens=32).logits(pairs)[:, 0]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), student.predict(pairs), atol=1e-5)
    (told,) = Predictor(tmp_path / "run").predict([("the film", [second for _, second in pairs])])
    np.testing.assert_allclose(told.scores, student.predict(pairs), atol=0.05)


def test_queries_of_one_label_are_said_to_be_left_out(
    make: Make, tmp_path: Path, rows: dict[str, str], save: Save
) -> None:
    """Scores of other queries than the report counts cannot be compared with anybody's."""
    test = [json.loads(line) for line in Path(rows["test"]).read_text().splitlines()]
    test[0]["labels"] = [0] * 5
    recipe = make(
        tmp_path, data__test=save(tmp_path / "test.jsonl", test), training__epochs=1,
        evaluation__speed_texts=1,
    )  # fmt: skip
    report = distill(recipe)
    assert report.data["test_rows_left_out"] == 1
    assert any("1 of 50 test queries have candidates of one label" in w for w in report.warnings)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"ensemble__teachers": ["t"]}, RecipeError, "several teachers"),
        ({"data__augment": {"copies": 1}}, RecipeError, r"data\.augment\.copies"),
        ({"data__outside": "x.jsonl"}, RecipeError, r"data\.outside"),
        ({"task": "regression"}, DataError, "no column looks like|label"),
        ({"task": "single_label"}, TeacherError, "task is single_label"),
    ],
)
def test_refuses_what_does_not_rank(
    make: Make, tmp_path: Path, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Each would train towards another target than the order of candidates."""
    with pytest.raises(error, match=message):
        make_plan(make(tmp_path, **settings), cache=tmp_path / "cache")


def test_margins_are_refused_where_rows_have_no_candidates(
    recipe: Callable[..., Any], tmp_path: Path
) -> None:
    """Classes of a text are no candidates of a query."""
    with pytest.raises(RecipeError, match="margin_mse compares a query's candidates"):
        make_plan(_terms(recipe(), divergence="margin_mse"), cache=tmp_path / "cache")


def test_candidates_are_compared_by_kl_alone_among_the_divergences(
    make: Make, tmp_path: Path
) -> None:
    """The other divergences are of classes."""
    with pytest.raises(RecipeError, match="task is reranking, and divergence reverse_kl"):
        make_plan(_terms(make(tmp_path), divergence="reverse_kl"), cache=tmp_path / "cache")


def test_single_pairs_are_no_lists(make: Make, tmp_path: Path, save: Save) -> None:
    """Without ids, and with queries that are written in two ways, every list has one candidate."""
    rows = [{"query": f"q {n}", "passage": "p", "label": n % 2} for n in range(9)]
    with pytest.raises(DataError, match="no query of it has two candidates"):
        make_plan(
            make(tmp_path, task="reranking", data__train=save(tmp_path / "r.jsonl", rows)),
            cache=tmp_path / "cache",
        )


def test_a_recipe_of_ours_is_one_of_rerankers() -> None:
    """It is what users copy."""
    recipe = load_recipe(Path(__file__).parents[2] / "recipes" / "reranking.yaml")
    assert recipe.task == "reranking"
    assert recipe.data.candidates == 8
