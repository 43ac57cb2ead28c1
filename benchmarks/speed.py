"""How fast limbeck distills and records, against TextBrewer, the Trainer and plain loops.

    python benchmarks/speed.py             # the arms in alternation, and the bars
    python benchmarks/speed.py --quality   # what each arm's student is worth; goes on if stopped
    python benchmarks/speed.py --memory    # peak memory on 10,000 and on 1,000,000 rows

Same teacher, student, first weights, rows, batch of 64 and cut at 128 tokens for all. Every arm
has a process of its own; one computes at a time. Writes benchmarks/results/speed.json.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from speed_arms import alternation, memory, quality
from speed_arms.arm import Settings
from speed_arms.files import DATA, TEACHER, exam, has_textbrewer
from speed_arms.own import save_student

_LAYERS = (2, 4, 6)


def main() -> None:
    """Run the mode that is asked for; exit 1 if a bar is missed, 2 if something is missing."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the workers end, too
    sys.stdout.reconfigure(line_buffering=True)  # pyright: ignore[reportAttributeAccessIssue]
    if not DATA.is_dir():
        print("../shared/data/sst2 is not here: this benchmark needs the real data.")
        sys.exit(2)
    if not arguments.memory and not has_textbrewer():
        print(
            "TextBrewer is not installed: use `make benchmark-speed`, or "
            "pip install --constraint constraints.txt --requirement benchmarks/requirements.txt"
        )
        sys.exit(2)
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if _run(arguments, Path(folder)) else 1)


def _run(arguments: argparse.Namespace, folder: Path) -> bool:
    """Whether every bar of the mode was reached."""
    settings = Settings(
        teacher=str(TEACHER),
        student=str(folder / "student"),
        layers=_LAYERS,
        exam=str(exam(folder)),
        work=str(folder),
        seed=arguments.seed,
        threads=arguments.threads,
        learning_rate=arguments.learning_rate,
    )
    if arguments.memory:
        return memory.run(settings, rows=arguments.rows or 1_000_000)
    save_student(settings)
    if arguments.quality:
        return quality.run(settings, rows=arguments.rows)
    return alternation.run(settings, rows=arguments.rows or 1536, rounds=arguments.rounds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--quality", action="store_true", help="accuracy after one epoch")
    mode.add_argument("--memory", action="store_true", help="peak memory by number of rows")
    parser.add_argument(
        "--rows",
        type=int,
        help="examples in a unit (1536); with --quality rows of the file (all); with --memory "
        "the larger number (1,000,000; the smaller is a hundredth)",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    return parser.parse_args()


if __name__ == "__main__":
    main()
