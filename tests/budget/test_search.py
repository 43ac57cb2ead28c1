"""The search against one that looks at everything, on costs that are made up."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from limbeck.budget.probe import Probe
from limbeck.budget.refusals import refuse_impossible, refuse_retention
from limbeck.budget.search import (
    Limits,
    Slack,
    Space,
    best_of_each,
    least,
    limits_of,
    tightened,
    uncut,
    within,
)
from limbeck.budget.structure import Structure, Whole, expected_loss
from limbeck.budget.table import Costs, fit
from limbeck.config.budget import Budget, parse_budget
from limbeck.config.student import StudentConfig
from limbeck.errors import RecipeError

WHOLE = Whole(layers=4, heads=4, neurons=60, vocabulary=1000, prunable=True)
INT8 = Costs((0.20, 0.05, 0.01, 0.001, 0.006, 0.0004), (0.05, 0.02, 0.01, 0.0005, 0.004, 0.0002),
             (0.1, 0.0004, 0.01, 0.005, 0.0002), 0.03, 0.04)  # fmt: skip
FLOAT = Costs((0.12, 0.03, 0.02, 0.002, 0.012, 0.0008), (0.04, 0.03, 0.02, 0.001, 0.01, 0.0004),
              (0.1, 0.0016, 0.02, 0.02, 0.0008), 0.03, 0.04)  # fmt: skip
SPACE = Space(WHOLE, (1, 2, 3, 4), (1000, 400), {"onnx_int8": INT8, "onnx_fused": FLOAT})


def _loss(layers: int, heads: int, neurons: int, *, trimmed: bool) -> float:
    """The definition, once more and in other words."""
    upper = math.log(4 / max(layers, 2))
    lower = math.log(2 / min(layers, 2))
    thin = math.log(4 / heads) + math.log(60 / neurons)
    return 0.015 * upper + 0.04 * lower + 0.0055 * thin + 0.001 * trimmed


def _figures(costs: Costs, s: Structure) -> tuple[float, float, float]:
    above = s.layers - 1
    sums = [1, above, above * s.heads, above * s.neurons, s.heads, s.neurons]
    latency = sum(a * b for a, b in zip(costs.single, sums, strict=True))
    rate = 1000 / sum(a * b for a, b in zip(costs.bulk, sums, strict=True))
    parts = [1, s.vocabulary, s.layers, s.layers * s.heads, s.layers * s.neurons]
    return latency, rate, sum(a * b for a, b in zip(costs.size, parts, strict=True))


@pytest.mark.parametrize(
    "limits",
    [
        Limits(0.45, None, None),
        Limits(None, None, 0.7),
        Limits(None, 4000.0, None),
        Limits(0.5, 3000.0, 0.75),
        Limits(0.33, None, 0.62),
        Limits(None, None, 1.7),
        Limits(0.2, None, None),
    ],
)
def test_it_finds_what_a_look_at_everything_finds(limits: Limits) -> None:
    """A search that misses the best gives away score for nothing."""
    everything = []
    for layers, heads, neurons, vocabulary, (runtime, costs) in itertools.product(
        (1, 2, 3, 4), (1, 2, 3, 4), [*range(8, 60, 8), 60], (1000, 400), SPACE.costs.items()
    ):
        structure = Structure(layers, heads, neurons, vocabulary)
        latency, rate, size = _figures(costs, structure)
        fits = (
            (limits.latency_ms is None or latency <= limits.latency_ms)
            and (limits.texts_per_s is None or rate >= limits.texts_per_s)
            and (limits.size_mb is None or size <= limits.size_mb)
        )
        if fits:
            loss = _loss(layers, heads, neurons, trimmed=vocabulary < 1000)
            everything.append((loss, latency, layers, structure, runtime))
    found = best_of_each(SPACE, limits)
    assert {one.structure.layers for one in found} == {layers for _, _, layers, *_ in everything}
    for one in found:
        best = min(entry for entry in everything if entry[2] == one.structure.layers)
        assert one.loss == pytest.approx(best[0])
        assert one.latency_ms == pytest.approx(best[1])
        assert _figures(SPACE.costs[one.runtime], one.structure) == pytest.approx(
            (one.latency_ms, one.texts_per_s, one.size_mb)
        )
    assert [one.loss for one in found] == sorted(one.loss for one in found)


def test_heads_and_neurons_get_equal_time() -> None:
    """It is what the guess of the loss stands for; a search that spends all on one does not."""
    whole = Whole(layers=1, heads=64, neurons=4096, vocabulary=10, prunable=True)
    costs = Costs((0.1, 0, 0, 0, 0.02, 0.0005), (1, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0), 0.0, 0.0)
    space = Space(whole, (1,), (10,), {"onnx": costs})
    best = best_of_each(space, Limits(0.9, None, None))[0].structure
    assert best.heads * 0.02 == pytest.approx(0.4, rel=0.06)
    assert best.neurons * 0.0005 == pytest.approx(0.4, rel=0.06)


def test_half_the_layers_go_before_heads_and_neurons() -> None:
    """The cheapest cut comes first, and no layer goes below half while others can be thinner."""
    one, all_heads = np.array(1), np.array(4)
    half = expected_loss(WHOLE, 2, all_heads, np.array(60), trimmed=False)
    thin = expected_loss(WHOLE, 4, np.array(2), np.array(15), trimmed=False)
    assert half < thin
    shallow = expected_loss(WHOLE, 1, all_heads, np.array(60), trimmed=False)
    assert shallow > expected_loss(WHOLE, 2, one, np.array(30), trimmed=False)
    assert expected_loss(WHOLE, 4, all_heads, np.array(60), trimmed=False) == 0


def test_corrections_tighten_one_runtime_alone() -> None:
    """What a check found of one export says nothing of another."""
    limits = Limits(0.5, None, None)
    before = best_of_each(SPACE, limits)[0]
    after = best_of_each(SPACE, limits, {before.runtime: Slack(latency=2.0)})[0]
    assert after.loss > before.loss
    other = next(name for name in SPACE.costs if name != before.runtime)
    assert best_of_each(SPACE, limits, {other: Slack(latency=2.0)})[0] == before


def test_layers_that_cannot_be_pruned_are_kept_whole() -> None:
    """A DeBERTa with half a head cannot be built."""
    whole = Whole(layers=4, heads=4, neurons=60, vocabulary=1000, prunable=False)
    space = Space(whole, (1, 2, 3, 4), (1000,), SPACE.costs)
    found = best_of_each(space, Limits(0.45, None, None))
    assert found
    assert {(one.structure.heads, one.structure.neurons) for one in found} == {(4, 60)}


def test_ratios_become_the_tighter_of_two_limits() -> None:
    """Ten times faster than a teacher of 12 ms is 1.2 ms."""
    budget = parse_budget("latency<=2ms speedup>=10x size<=9MB smaller>=8x throughput>=100")
    limits = limits_of(budget, teacher_ms=12.0, teacher_mb=80.0)
    assert limits == Limits(1.2, 100.0, 9.0)
    assert tightened(limits, 0.1) == Limits(pytest.approx(1.08), pytest.approx(100 / 0.9), 9.0)


def test_a_budget_that_needs_no_cut_is_seen() -> None:
    """To train for it would be hours for nothing."""
    assert [one.runtime for one in within(uncut(SPACE), Limits(None, None, 0.8))] == ["onnx_int8"]
    assert not within(uncut(SPACE), Limits(0.3, None, None))


def test_what_cannot_be_met_is_refused_with_the_nearest_that_can() -> None:
    """'Impossible' alone leaves the user guessing."""
    wanted = StudentConfig(budget="size<=0.2MB latency<=0.1ms")
    limits = Limits(0.1, None, 0.2)
    with pytest.raises(RecipeError) as caught:
        refuse_impossible(SPACE, limits, limits, Budget(latency_ms=0.1, size_mb=0.2), wanted)
    smallest = {one.runtime: one for one in least(SPACE)}
    found = caught.value.found
    assert f"{smallest['onnx_fused'].latency_ms:.2f} ms at best, as onnx_fused" in found
    assert f"{smallest['onnx_int8'].size_mb:.1f} MB as onnx_int8, 0.2 MB of them its voc" in found
    asked = parse_budget(caught.value.remedy.removeprefix("Ask for ").removesuffix(" or more."))
    again = limits_of(asked, teacher_ms=1.0, teacher_mb=1.0)
    assert best_of_each(SPACE, again)


def test_what_no_one_export_meets_is_told_of_each() -> None:
    """The one is fast enough and the other small enough, and only one file is served."""
    limits = Limits(0.155, None, 0.35)
    assert not best_of_each(SPACE, limits)
    with pytest.raises(RecipeError, match="no one export meets all of it") as caught:
        refuse_impossible(SPACE, limits, limits, Budget(0.155, size_mb=0.35), StudentConfig())
    assert "onnx_int8: 0.21 ms" in caught.value.found
    assert "onnx_fused: 0.14 ms" in caught.value.found


def test_refuses_a_retention_alone() -> None:
    """Nothing says what a structure keeps before it is trained."""
    with pytest.raises(RecipeError, match="limits neither time nor size"):
        refuse_retention(parse_budget("retention>=99%"))
    refuse_retention(parse_budget("retention>=99% latency<=1ms"))


def test_a_fit_finds_the_costs_that_were_measured() -> None:
    """Weights that are mixed up between heads and neurons plan the wrong cut."""
    shapes = [Structure(*size) for size in itertools.product((1, 2, 3), (1, 3), (8, 40), (50, 90))]
    probes = [Probe(s, "onnx", _figures(INT8, s)[2], *_figures(INT8, s)[:2]) for s in shapes]
    held = [Structure(4, 2, 20, 400), Structure(2, 4, 60, 1000)]
    off = [Probe(s, "onnx", 1.0, _figures(INT8, s)[0] * 1.1, _figures(INT8, s)[1]) for s in held]
    found = fit(probes, off)
    for name in ("single", "bulk", "size"):
        assert getattr(found, name) == pytest.approx(getattr(INT8, name), rel=1e-4, abs=1e-7)
    assert found.single_error == pytest.approx(1 - 1 / 1.1, rel=1e-3)
    assert found.bulk_error == pytest.approx(0.0, abs=1e-6)
