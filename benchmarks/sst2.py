"""The numbers of the README: distills SST-2 on real data and holds the results against the bars.

    python benchmarks/sst2.py                 # both recipes; goes on where it stopped
    python benchmarks/sst2.py --recipe sst2   # one of them

Writes benchmarks/results/<recipe>.json: numbers, commit, machine and command.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from limbeck.config.load import load_recipe
from limbeck.distill import distill
from limbeck.evaluation.report import Export, Performance, Report
from limbeck.files import write_json
from limbeck.progress import shown

ROOT = Path(__file__).parent.parent
RECIPES = ("sst2", "sst2_few_labels")


def main() -> None:
    """Run the recipes that are asked for, print their numbers, keep them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", choices=RECIPES, action="append")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if not (ROOT.parent / "shared" / "data" / "sst2").is_dir():
        sys.exit("../shared/data/sst2 is not here: this benchmark needs the real data.")
    failed = False
    for name in arguments.recipe or RECIPES:
        seed = arguments.seed
        output = f"runs/benchmark/{name}-{seed}"
        recipe = load_recipe(
            ROOT / "recipes" / f"{name}.yaml", [f"seed={seed}"], {"output": output}
        )
        with shown():
            report = distill(recipe)
        checks = few_labels(report) if name == "sst2_few_labels" else whole(report)
        failed |= not all(check["reached"] for check in checks)
        show(name, report, checks)
        keep(name, seed, report, checks)
    sys.exit(1 if failed else 0)


def whole(report: Report) -> list[dict[str, Any]]:
    """The bars of the whole training set."""
    best = report.export(report.best_single)
    faster = smaller = 0.0
    if best is not None and best.latency_ms_p50 and best.size_mb and report.teacher.latency_ms_p50:
        faster = report.teacher.latency_ms_p50 / best.latency_ms_p50
        smaller = report.teacher.size_mb / best.size_mb
    return [
        check("retention of the teacher's accuracy", report.retention.value, 0.985),
        check("times faster than the teacher in transformers, p50", faster, 9.0),
        check("times smaller than the teacher's float32 file", smaller, 6.0),
    ]


def few_labels(report: Report) -> list[dict[str, Any]]:
    """The bar of few labels: the interval of the difference to the control arm excludes 0."""
    low = report.differences["student_minus_control"].low
    return [check("lower end of student minus control", low, 0.0)]


def check(what: str, value: float, bar: float) -> dict[str, Any]:
    """A figure, its bar, and whether it is reached."""
    return {"what": what, "value": round(value, 4), "bar": bar, "reached": value >= bar}


def show(name: str, report: Report, checks: list[dict[str, Any]]) -> None:
    """Print the numbers and the checks."""
    print(f"\n== {name} ==")
    rows: list[tuple[str, Performance | Export]] = [
        ("teacher", report.teacher),
        ("student", report.student),
        *report.arms.items(),
        *((export.name, export) for export in report.exports if export.accepted),
    ]
    for title, row in rows:
        score = f"{row.score.value:.4f}" if row.score else "-"
        print(
            f"{title:<18} score {score}  p50 {row.latency_ms_p50:7.2f} ms  "
            f"p95 {row.latency_ms_p95:7.2f} ms  {row.texts_per_s:7.0f} texts/s  "
            f"{row.size_mb:6.1f} MB"
        )
    for key, difference in report.differences.items():
        print(f"{key:<28} {difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]")
    for sentence in report.verdict:
        print(f"  {sentence}")
    for one in checks:
        mark = "reached" if one["reached"] else "MISSED"
        print(f"{mark:<8} {one['what']}: {one['value']} (bar {one['bar']})")


def keep(name: str, seed: int, report: Report, checks: list[dict[str, Any]]) -> None:
    """Write the result with what made it."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    numbers = report.model_dump(mode="json", exclude={"disagreements", "recipe"})
    for arm in (numbers["teacher"], numbers["student"], *numbers["arms"].values()):
        arm.pop("per_class")
        arm.pop("confusion")
    write_json(
        ROOT / "benchmarks" / "results" / (f"{name}.json" if seed == 0 else f"{name}-{seed}.json"),
        {
            "command": f"python benchmarks/sst2.py --recipe {name} --seed {seed}",
            "commit": commit.stdout.strip(),
            "checks": checks,
            "report": numbers,
        },
    )


if __name__ == "__main__":
    main()
