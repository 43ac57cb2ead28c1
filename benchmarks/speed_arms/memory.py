"""The memory mode: how the peak of recording and training grows with the number of rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from speed_arms.arm import Settings, Unit, read_lines
from speed_arms.checks import check, show_checks
from speed_arms.files import DATA, keep, write_lines
from speed_arms.worker import worker

_BAR_MB = 200.0


def run(settings: Settings, *, rows: int) -> bool:
    """Measure a hundredth of the rows and all of them; whether the bar was reached."""
    folder = Path(settings.work)
    tiny = str(_tiny_teacher(settings.teacher, folder / "tiny"))
    few = rows // 100
    _unit(few, tiny, settings, folder)  # what is timed once on a machine takes memory, too
    runs = {}
    for count in (few, rows):
        unit = _unit(count, tiny, settings, folder)
        runs[count] = {"tokens": unit.tokens, "seconds": round(unit.seconds, 1), **unit.more}
        print(f"{count:,} rows, {unit.tokens:,} tokens: {json.dumps(unit.more)}")
    more = {
        part: round(runs[rows][part]["trained"] - runs[few][part]["trained"], 1)
        for part in ("peak_mb", "anonymous_mb", "file_mb")
    }
    what = f"MB more for {rows:,} rows than for {few:,}"
    checks = [check(what, more["peak_mb"], below=_BAR_MB)]
    print(f"{what}: {json.dumps(more)}")
    keep(
        "memory",
        {
            "runs": {str(count): run for count, run in runs.items()},
            "more": more,
            "checks": checks,
        },
    )
    return show_checks(checks)


def _unit(count: int, tiny: str, settings: Settings, folder: Path) -> Unit:
    own = replace(settings, teacher=tiny, student=tiny, layers=(1,), work=str(folder / str(count)))
    Path(own.work).mkdir()
    texts = write_lines(_combined(count), Path(own.work) / "rows.jsonl")
    with worker("limbeck_memory", own) as one:
        unit = one.unit(texts)
    shutil.rmtree(own.work)
    return unit


def _combined(count: int) -> Iterator[dict[str, Any]]:
    """Rows of two real sentences each, no pair twice."""
    lines = read_lines(DATA / "train_sentences.jsonl")
    total = len(lines)
    for row in range(count):
        first, distance = row % total, row // total + 1
        second = lines[(first + distance) % total]["text"]
        yield {"text": f"{lines[first]['text']} {second}", "label": lines[first]["label"]}


def _tiny_teacher(real: str, place: Path) -> Path:
    """A classifier of one narrow layer with new weights, and the real teacher's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    config = AutoConfig.from_pretrained(
        real, num_hidden_layers=1, hidden_size=32, num_attention_heads=2, intermediate_size=64
    )
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    model.save_pretrained(place)
    AutoTokenizer.from_pretrained(real).save_pretrained(place)
    return place
