"""The quality mode: what the student of each arm is worth after one epoch over the same rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from speed_arms.arm import Settings
from speed_arms.checks import check, show_checks
from speed_arms.files import DATA, commit, keep, kept, samples, sources
from speed_arms.worker import worker

SEEDS = (0, 1, 2)
"""Of the two arms that are compared with the same terms; the others run the first seed alone."""

COMPARED = ("limbeck_recorded", "plain_fp32")
OTHERS = ("textbrewer", "trainer", "limbeck_live")
_TOLERANCE = 0.005


def run(settings: Settings, *, rows: int | None) -> bool:
    """Train and judge what is not in the results yet; whether the bar was reached."""
    source = DATA / "train_sentences.jsonl"
    total = len(source.read_text(encoding="utf-8").splitlines())
    count = rows or total
    files = samples(source, Path(settings.work), rows=count, count=1, seed=0)
    facts = {"rows": count, "epochs": 1, "learning_rate": settings.learning_rate}
    before = kept("quality")
    done: dict[str, Any] = before.get("runs", {}) if before.get("settings") == facts else {}
    for arm, seed in _wanted():
        name = f"{arm}/{seed}"
        if name in done and _still_true(arm, done[name]):
            print(f"{name}: accuracy {done[name]['accuracy']:.4f} (kept)")
            continue
        done[name] = _trained(arm, replace(settings, seed=seed), files[0])
        print(f"{name}: accuracy {done[name]['accuracy']:.4f}")
        keep("quality", {"settings": facts, "runs": done})
    checks = [_compared(done)]
    keep("quality", {"settings": facts, "runs": done, "checks": checks})
    return show_checks(checks)


def _wanted() -> list[tuple[str, int]]:
    first = [(arm, SEEDS[0]) for arm in OTHERS]
    return [(arm, seed) for seed in SEEDS for arm in COMPARED] + first


def _still_true(arm: str, run: dict[str, Any]) -> bool:
    """A rival's run stays; limbeck's own counts for the code that it was made with."""
    return not arm.startswith("limbeck") or run["sources"] == sources()


def _trained(arm: str, settings: Settings, rows: Path) -> dict[str, Any]:
    with worker(arm, settings) as one:
        unit = one.unit(rows)
        score = one.ask("accuracy", DATA / "dev.jsonl")
    return {
        "accuracy": round(score, 4),
        "examples_per_s": round(unit.examples / unit.seconds, 1),
        "commit": commit(),
        "sources": sources(),
    }


def _compared(done: dict[str, Any]) -> dict[str, Any]:
    own, plain = (mean(done[f"{arm}/{seed}"]["accuracy"] for seed in SEEDS) for arm in COMPARED)
    print(f"mean of {len(SEEDS)} seeds: limbeck_recorded {own:.4f}, plain_fp32 {plain:.4f}")
    return check(
        "limbeck_recorded minus plain_fp32, mean accuracy", own - plain, at_least=-_TOLERANCE
    )
