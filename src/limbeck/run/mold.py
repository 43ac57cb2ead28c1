"""What random models are made after for a run, and the user's texts that they are timed with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from limbeck.budget.probe import Mold, Sample, latencies_ms, median_rows, small_tokens
from limbeck.budget.structure import whole_of
from limbeck.config.recipe import Recipe
from limbeck.data.encode import encode
from limbeck.run.material import Material
from limbeck.runtime.answerer import Answerer
from limbeck.runtime.transformers_model import TransformersAnswerer
from limbeck.tasks.task import Task
from limbeck.teacher.head import model_class
from limbeck.teacher.load import Checkpoint

_SINGLE, _BULK, _LOOKED_AT = 24, 512, 4000
_TEACHER_TURNS = 6


def mold_of(
    recipe: Recipe, teacher: Checkpoint, task: Task, material: Material, cache: Path
) -> Mold:
    """What random models are made after, and the texts that they are timed with."""
    test, max_tokens = material.test.texts, teacher.max_tokens(recipe.data.max_tokens)
    if len(test) > _LOOKED_AT:
        generator = np.random.default_rng(recipe.seed)
        test = test.take(np.sort(generator.choice(len(test), _LOOKED_AT, replace=False)))
    encoded = encode(test, teacher.backend, max_tokens=max_tokens, folder=cache)
    items = list(test.items())
    lengths = encoded.text_lengths
    single = median_rows(lengths, _SINGLE)
    bulk = np.arange(0, len(items), max(1, len(items) // _BULK))[:_BULK]
    timed = test.take(np.union1d(single, bulk))
    return Mold(
        teacher=teacher,
        task=task,
        whole=whole_of(teacher.config, teacher.family),
        tokens=small_tokens(
            teacher, encode(timed, teacher.backend, max_tokens=max_tokens, folder=cache)
        ),
        max_tokens=max_tokens,
        paired=test.paired,
        sample=Sample(
            single=tuple(items[row] for row in single),
            bulk=tuple(items[row] for row in bulk),
            length=int(np.median(lengths)),
            mean=float(lengths[bulk].mean()),
        ),
    )


def teacher_latency_ms(mold: Mold) -> float:
    """Median of single texts, of a model like the teacher with random weights in transformers."""
    import torch

    teacher, family = mold.teacher, mold.teacher.family
    with torch.random.fork_rng(devices=[]):
        model = model_class(mold.task.head).from_config(
            type(teacher.config).from_dict(teacher.config.to_dict()),
            attn_implementation="sdpa" if family.sdpa else "eager",
            dtype=torch.float32,
        )
    answerer = TransformersAnswerer(model, teacher.tokenizer, max_tokens=mold.max_tokens)
    models: dict[str, Answerer] = {"teacher": answerer}
    return latencies_ms(mold.sample, models, title="timing the teacher", turns=_TEACHER_TURNS)[
        "teacher"
    ]
