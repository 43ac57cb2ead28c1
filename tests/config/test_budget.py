"""Budgets as they are written: every unit, and one clear message for what means nothing."""

from __future__ import annotations

import pytest

from limbeck.config.budget import Budget, Runtime, RuntimeOrAuto, parse_budget
from limbeck.config.load import load_recipe
from limbeck.errors import RecipeError


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("latency<=0.6ms", Budget(latency_ms=0.6)),
        ("latency <= 600 us", Budget(latency_ms=0.6)),
        ("latency<=600µs", Budget(latency_ms=0.6)),
        ("latency≤1.5 s", Budget(latency_ms=1500.0)),
        ("latency<1ms", Budget(latency_ms=1.0)),
        ("latency>=10x", Budget(speedup=10.0)),
        ("speedup>=10x", Budget(speedup=10.0)),
        ("speedup >= 2.5", Budget(speedup=2.5)),
        ("size<=6MB", Budget(size_mb=6.0)),
        ("size<=900kB", Budget(size_mb=0.9)),
        ("size<=5_000_000B", Budget(size_mb=5.0)),
        ("SIZE<=.5GB", Budget(size_mb=500.0)),
        ("size<=5%", Budget(smaller=20.0)),
        ("smaller>=8x", Budget(smaller=8.0)),
        ("throughput>=2000", Budget(texts_per_s=2000.0)),
        ("throughput>=2000 texts/s", Budget(texts_per_s=2000.0)),
        ("retention>=99%", Budget(retention=0.99)),
        ("retention>=0.99", Budget(retention=0.99)),
    ],
)
def test_every_quantity_is_read_in_every_unit(text: str, budget: Budget) -> None:
    """A unit that is read as another one plans a model a thousand times too large."""
    found = parse_budget(text)
    assert {key: pytest.approx(value) for key, value in vars(budget).items()} == vars(found)


@pytest.mark.parametrize("between", [" ", ", ", ",", " and ", ", and ", "  \n "])
def test_limits_are_separated_as_people_write(between: str) -> None:
    """A limit that is swallowed by its neighbor is a limit that nobody keeps."""
    found = parse_budget(between.join(["latency <= 0.6 ms", "size<=6 MB", "retention>=99%"]))
    assert found == Budget(latency_ms=0.6, size_mb=6.0, retention=0.99)
    assert parse_budget(found.in_words()) == found


@pytest.mark.parametrize(
    ("text", "found", "remedy"),
    [
        ("", "the budget is empty", "latency<=0.6ms"),
        (" , ", "the budget is empty", "latency<=0.6ms"),
        ("fast", "'fast' is no limit", "Write quantities with a limit"),
        ("latancy<=1ms", "'latancy' is no quantity", "Known are latency"),
        ("latancy<=1ms", "Did you mean 'latency'?", "size<=6MB"),
        ("latency>=1ms", "limits latency the wrong way", "latency<="),
        ("size>=3MB", "limits size the wrong way", "size<="),
        ("speedup<=3x", "limits speedup the wrong way", "speedup>="),
        ("retention<=99%", "at least", "retention>="),
        ("latency==1ms", "the wrong way", "latency<="),
        ("latency<=", "has no number", "latency<=0.6ms"),
        ("latency<=fast", "'fast', which is no positive number", "latency<=0.6ms"),
        ("latency<=-1ms", "no positive number", "latency<=0.6ms"),
        ("latency<=0ms", "nothing meets that", "more than 0"),
        ("latency<=1", "it has no unit", "Use ms, us or s"),
        ("latency<=1MB", "the unit 'mb' means nothing for latency", "Use ms, us or s"),
        ("size<=1MiB", "the unit 'mib' means nothing for size. Did you mean", "MB, kB"),
        ("size<=8x", "is a ratio", "smaller>=8x"),
        ("latency<=8x", "is a ratio", "speedup>=8x"),
        ("throughput>=1,000/s", "no positive number", "throughput>=2000/s"),
        ("retention>=99", "more than all", "retention>=99%"),
        ("size<=6MB size<=7MB", "'size<=6MB' and 'size<=7MB' limit the same thing", "Keep"),
        ("size<=5% smaller>=8x", "limit the same thing", "Keep the one that counts"),
        ("latency<=1ms and latency<=2ms", "limit the same thing", "Keep"),
    ],
)
def test_refuses_what_means_nothing(text: str, found: str, remedy: str) -> None:
    """A budget that is read otherwise than it was meant costs a training."""
    with pytest.raises(RecipeError) as caught:
        parse_budget(text)
    assert caught.value.where == "--budget"
    assert found in caught.value.found
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("pruning", {"heads": 2}, "pruning.heads is 2, but the budget"),
        ("pruning", {"neurons": 9}, "pruning.neurons is 9, but the budget"),
        ("hidden", 128, "hidden is 128, but a budget"),
        ("heads", 2, "heads is 2"),
        ("intermediate", 64, "intermediate is 64"),
        ("shape", "tinybert4", "shape is tinybert4"),
        ("architecture", "distilbert", "architecture is distilbert"),
        ("checkpoint", "./other", "checkpoint is ./other"),
        ("init", "normal", "init is normal"),
        ("budget_runtime", "onx", "onnx_int8"),
        ("budget", "latancy<=1ms", "student.budget: 'latancy' is no quantity"),
    ],
)
def test_refuses_what_a_budget_decides_itself(key: str, value: object, said: str) -> None:
    """Two masters of one number: whichever won, the other would be ignored in silence."""
    values = {"student.budget": "latency<=1ms", f"student.{key}": value}
    with pytest.raises(RecipeError, match="student") as caught:
        load_recipe(None, values={"teacher.path": "x", **values})
    assert said in str(caught.value)


def test_layers_and_vocabulary_may_be_fixed_beside_a_budget() -> None:
    """They narrow the search."""
    for values in ({"layers": 3}, {"from": "1,3"}, {"vocabulary": "trim"}, {"dropout": 0.1},
                   {"pruning": {"rounds": 3}}):  # fmt: skip
        keys = {f"student.{key}": value for key, value in values.items()}
        made = load_recipe(
            None, values={"teacher.path": "x", "student.budget": "size<=6MB", **keys}
        )
        assert made.student.open_budget


def test_refuses_what_belongs_to_a_budget_where_there_is_none() -> None:
    """It would be ignored."""
    with pytest.raises(RecipeError, match="belong to a budget"):
        load_recipe(None, values={"teacher.path": "x", "student.budget_runtime": "onnx"})


def test_the_runtimes_are_those_that_export_makes() -> None:
    """A new export that budgets do not know could never be planned for."""
    from typing import get_args

    from limbeck.export.onnx_files import FILES

    assert get_args(Runtime) == tuple(FILES)
    assert get_args(RuntimeOrAuto) == ("auto", *FILES)
