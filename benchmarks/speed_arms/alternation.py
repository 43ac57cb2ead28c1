"""The speed mode: in every round each arm works through the same rows, in turning order."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from speed_arms.arm import Settings, Unit
from speed_arms.checks import check, show_checks
from speed_arms.files import DATA, keep, samples
from speed_arms.worker import Worker, worker

ARMS = (
    "textbrewer",
    "trainer",
    "limbeck_live",
    "limbeck_recorded",
    "plain_record",
    "limbeck_record",
    "products",
)
RATIOS = (
    ("limbeck_recorded", "textbrewer", 25.0),
    ("limbeck_recorded", "trainer", 7.0),
    ("limbeck_live", "textbrewer", 10.0),
    ("limbeck_record", "plain_record", 4.0),
)

Units = dict[str, list[Unit]]


def run(settings: Settings, *, rows: int, rounds: int) -> bool:
    """Measure, print and keep; whether every bar was reached."""
    folder = Path(settings.work)
    files = samples(DATA / "train.jsonl", folder, rows=rows, count=rounds + 1, seed=settings.seed)
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for arm in ARMS:
            workers[arm] = stack.enter_context(worker(arm, settings))
            workers[arm].unit(files[0])
            print(f"{arm}: set up and warm")
        units = _alternate(workers, files[1:])
        peaks = {arm: one.ask("peak_mb") for arm, one in workers.items()}
        profile = workers["limbeck_recorded"].ask("profile", files[0])
    return _report(settings, rows, units, peaks, profile)


def _alternate(workers: dict[str, Worker], files: list[Path]) -> Units:
    names = list(workers)
    units: Units = {name: [] for name in names}
    for turn, rows in enumerate(files):
        place = turn % len(names)
        for name in names[place:] + names[:place]:
            units[name].append(workers[name].unit(rows))
        _refuse_unequal({name: done[-1] for name, done in units.items() if name != "products"})
        speeds = ", ".join(
            f"{n} {_rate(done[-1]):.0f}" for n, done in units.items() if _rate(done[-1])
        )
        print(f"round {turn + 1}, examples/s: {speeds}")
    return units


def _refuse_unequal(done: dict[str, Unit]) -> None:
    """Every arm must have had the same examples and the same tokens."""
    work = {(unit.examples, unit.tokens) for unit in done.values()}
    if len(work) > 1:
        each = {name: (unit.examples, unit.tokens) for name, unit in done.items()}
        raise RuntimeError(f"the arms did not do the same work (examples, tokens): {each}")


def _rate(unit: Unit) -> float:
    return unit.examples / unit.seconds


def _report(
    settings: Settings,
    rows: int,
    units: Units,
    peaks: dict[str, float],
    profile: dict[str, Any],
) -> bool:
    gflops = _gflops(units["products"])
    use = _utilization(units["limbeck_recorded"], gflops)
    own = [unit.more["own_share"] for unit in units["limbeck_recorded"]]
    own_share = None if None in own else median(own)
    ratios = {f"{one}/{other}": _ratios(units[one], units[other]) for one, other, _ in RATIOS}
    checks = [
        check(f"{one}/{other}", median(ratios[f"{one}/{other}"]), at_least=bar)
        for one, other, bar in RATIOS
    ]
    checks.append(
        check("FLOPs that are needed, share of the machine's", use["first_token"], at_least=0.25)
    )
    if own_share is not None:
        checks.append(
            check("share of the step outside forward, backward, optimizer", own_share, below=0.03)
        )
    numbers = {
        "settings": {
            "examples_per_unit": rows,
            "rounds": len(units["products"]),
            "seed": settings.seed,
            "threads": settings.threads,
        },
        "arms": {
            arm: _arm_numbers(done, peaks[arm]) for arm, done in units.items() if arm != "products"
        },
        "ratios": {
            name: {"median": round(median(values), 2), "rounds": [round(v, 2) for v in values]}
            for name, values in ratios.items()
        },
        "machine_gflops": {name: round(median(values)) for name, values in gflops.items()},
        "utilization": use,
        "own_share": own_share,
        "profile": profile,
        "checks": checks,
    }
    keep("speed", numbers)
    _show(numbers)
    return show_checks(checks)


def _arm_numbers(done: list[Unit], peak_mb: float) -> dict[str, Any]:
    """An arm's figures; limbeck's `call_seconds` hold its set-up, look and saving too."""
    calls = [round(unit.more["call_seconds"], 3) for unit in done if "call_seconds" in unit.more]
    return {
        "examples_per_s": round(median(_rate(unit) for unit in done), 1),
        "tokens_per_s": round(median(unit.tokens / unit.seconds for unit in done)),
        "peak_mb": peak_mb,
        "seconds": [round(unit.seconds, 3) for unit in done],
        **({"call_seconds": calls} if calls else {}),
        **{key: value for key, value in done[-1].more.items() if "precision" in key},
    }


def _ratios(one: list[Unit], other: list[Unit]) -> list[float]:
    """How many times faster `one` was, round by round."""
    return [_rate(a) / _rate(b) for a, b in zip(one, other, strict=True)]


def _gflops(products: list[Unit]) -> dict[str, list[float]]:
    return {
        precision: [unit.more["gflops"][precision] for unit in products]
        for precision in products[0].more["gflops"]
    }


def _utilization(trained: list[Unit], gflops: dict[str, list[float]]) -> dict[str, Any]:
    """FLOPs a second of training, as a share of the best rate of its round.

    Real tokens only, and forward times three; `first_token` counts the last layer for the
    first token alone, `whole` counts it for all (more than a classifier needs).
    """
    best = [max(rates) for rates in zip(*gflops.values(), strict=True)]
    shares = {}
    for name, key in (("whole", "forward_flops"), ("first_token", "forward_flops_first_token")):
        used = [3 * unit.more[key] / unit.seconds / 1e9 for unit in trained]
        rounds = [rate / most for rate, most in zip(used, best, strict=True)]
        shares[name] = round(median(rounds), 4)
        shares[f"{name}_gflops"] = round(median(used), 1)
    return shares


def _show(numbers: dict[str, Any]) -> None:
    print(f"\n{'arm':<18}{'examples/s':>12}{'tokens/s':>12}{'peak MB':>10}")
    for name, arm in numbers["arms"].items():
        print(
            f"{name:<18}{arm['examples_per_s']:>12,.1f}{arm['tokens_per_s']:>12,}"
            f"{arm['peak_mb']:>10,.0f}"
        )
    for name, ratio in numbers["ratios"].items():
        each = ", ".join(f"{value:.2f}" for value in ratio["rounds"])
        print(f"{name:<34}{ratio['median']:>7.2f} times ({each})")
    use, profile = numbers["utilization"], numbers["profile"]
    print(f"products of this machine: {numbers['machine_gflops']} GFLOP/s")
    print(
        f"limbeck_recorded: {use['first_token_gflops']} GFLOP/s that are needed, "
        f"{use['first_token']:.1%} of the machine's ({use['whole']:.1%} if the last layer is "
        "counted for every token)"
    )
    print(
        f"in products: {profile['product_share']:.1%} of the operators' time, "
        f"{profile['product_share_of_steps']:.1%} of the steps'; own share {numbers['own_share']}"
    )
