"""Thin models with random weights, exported as students are: what a structure costs here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from limbeck.budget.structure import Structure, Whole
from limbeck.config.recipe import CleanConfig, StudentConfig
from limbeck.data.candidates import pairs_a_query
from limbeck.data.encode import Encoded
from limbeck.data.texts import Item, characters
from limbeck.errors import StudentError
from limbeck.evaluation.speed import bulk_rate, latency_ms
from limbeck.export.onnx_files import FILES, Variant, export_variants
from limbeck.files import size_mb
from limbeck.machine import available_cores
from limbeck.progress import step
from limbeck.runtime.answerer import Answerer
from limbeck.runtime.load import load_export
from limbeck.student.plan import plan_student
from limbeck.student.vocabulary import Trimmed, renumber, trim_vocabulary
from limbeck.tasks.task import Task
from limbeck.teacher.head import model_class
from limbeck.teacher.load import Checkpoint, quiet_transformers
from limbeck.teacher.thin import Kept, make_thin, save_thin

_TURNS, _CALLS, _WARM_UP = 25, 6, 2
_ROUNDS, _BULK_A_CORE = 5, 64
"""Rounds in bulk, and texts that are answered in one for each core."""


@dataclass(frozen=True)
class Sample:
    """The user's texts that models are timed with.

    Attributes:
        single: Of the median length in tokens, answered one a call; a query with all candidates.
        bulk: Of all lengths, answered together.
        length: The median length.
        mean: The mean length of those in bulk.
    """

    single: tuple[Item, ...]
    bulk: tuple[Item, ...]
    length: int
    mean: float


@dataclass(frozen=True)
class Mold:
    """What random models are made after.

    Attributes:
        teacher: Its config and tokenizer.
        task: What the head is for.
        whole: The teacher's sizes.
        tokens: A tokenizer of the sample's tokens alone, so that files are small; None where the
            teacher's cannot be trimmed.
        max_tokens: Where texts are cut.
        paired: Whether texts come in pairs.
        sample: What models are timed with.
    """

    teacher: Checkpoint
    task: Task
    whole: Whole
    tokens: Trimmed | None
    max_tokens: int
    paired: bool
    sample: Sample

    @property
    def vocabulary(self) -> int:
        """Tokens of the random models."""
        return self.whole.vocabulary if self.tokens is None else len(self.tokens.kept)


@dataclass(frozen=True)
class Probe:
    """A structure that was exported and timed.

    Attributes:
        structure: With the vocabulary of its file.
        runtime: The export.
        size_mb: Of the file.
        latency_ms: Of single texts, the median.
        texts_per_s: In bulk.
    """

    structure: Structure
    runtime: str
    size_mb: float
    latency_ms: float
    texts_per_s: float


def take_probes(
    mold: Mold, structures: Sequence[Structure], runtimes: Sequence[str], folder: Path
) -> tuple[list[Probe], dict[str, str]]:
    """Every structure in every runtime that can be made, timed in alternation.

    Args:
        mold: What they are made after.
        structures: At least one.
        runtimes: Names of export variants.
        folder: For the files; empty.

    Returns:
        The probes, and why a runtime has none.
    """
    made: dict[str, list[tuple[Structure, Path]]] = {name: [] for name in runtimes}
    failures: dict[str, str] = {}
    for number, structure in enumerate(structures):
        wanted = [name for name in runtimes if name not in failures]
        for variant in _exported(mold, structure, wanted, folder / str(number), tried=number > 0):
            if variant.failure is not None:
                failures[variant.name] = variant.failure
            elif variant.name in made:
                made[variant.name].append((structure, variant.path))
    probes = []
    for name in runtimes:
        if name not in failures:
            probes += _timed(mold.sample, name, made[name])
    return probes, failures


def _exported(
    mold: Mold, structure: Structure, runtimes: Sequence[str], folder: Path, *, tried: bool
) -> list[Variant]:
    """The variants of a random model; where OpenVINO was tried before, it is not tried again."""
    _write(mold, structure, folder / "model")
    names = [name for name in FILES if name in runtimes or name == "onnx"]
    if "onnx_fused_int8" in names and "onnx_fused" not in names:
        names.insert(1, "onnx_fused")
    later = tried and "openvino" in names
    made = export_variants(
        folder / "model",
        folder / "export",
        max_tokens=mold.max_tokens,
        clean=CleanConfig(),
        task=mold.task,
        paired=mold.paired,
        names=tuple(name for name in names if not (later and name == "openvino")),
        title=f"exporting {structure.in_words()}",
    )
    if later:
        made.append(Variant("openvino", folder / "export" / FILES["openvino"]))
    return made


def _write(mold: Mold, structure: Structure, folder: Path) -> None:
    """A model of this structure with random weights, as a folder."""
    import torch

    wanted = StudentConfig(layers=structure.layers)
    plan = plan_student(wanted, mold.teacher, structure.vocabulary, head=mold.task.head)
    checkpoint = plan.checkpoint
    if mold.tokens is not None:
        renumber(plan.config, mold.tokens.kept)
        checkpoint = replace(checkpoint, tokenizer=mold.tokens.tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_class(mold.task.head).from_config(
            plan.config, attn_implementation="eager", dtype=torch.float32
        )
        with torch.no_grad():
            # New biases are all zeros and new norms all ones; of tensors that are equal the
            # exporter writes one, so that files would be smaller than those of trained models.
            for weight in model.parameters():
                weight += 0.02 * torch.randn_like(weight)
    folder.mkdir(parents=True)
    with quiet_transformers():
        if mold.whole.prunable:
            kept = Kept(
                (tuple(range(structure.heads)),) * structure.layers,
                (tuple(range(structure.neurons)),) * structure.layers,
            )
            model.config.architectures = [type(model).__name__]
            make_thin(model, checkpoint.family, kept)
            save_thin(model, kept, folder)
        else:
            model.save_pretrained(folder)
        checkpoint.tokenizer.save_pretrained(folder)


def _timed(sample: Sample, name: str, made: Sequence[tuple[Structure, Path]]) -> list[Probe]:
    single = {str(number): load_export(name, path) for number, (_, path) in enumerate(made)}
    latencies = latencies_ms(sample, single, title=f"timing {name}", turns=_TURNS)
    single.clear()
    bulk = {
        str(number): load_export(name, path, bulk=True) for number, (_, path) in enumerate(made)
    }
    rates = _rates(sample, bulk, title=f"timing {name} in bulk")
    return [
        Probe(structure, name, size_mb(path), latencies[str(number)], rates[str(number)])
        for number, (structure, path) in enumerate(made)
    ]


def latencies_ms(
    sample: Sample, models: dict[str, Answerer], *, title: str, turns: int
) -> dict[str, float]:
    """What single texts take in every model while the machine is undisturbed, in ms.

    Models take short turns, so that whatever else the machine does slows all of them alike, and
    of all calls of a model the time is taken that a quarter of them stay under: a neighbor makes
    calls slower and never faster, and a fit to medians would give layers or heads what was his.

    Args:
        sample: Its single texts.
        models: By name.
        title: Of the progress bar.
        turns: Of each model.
    """
    names, times = list(models), {name: [] for name in models}
    with step(title, turns) as bar:
        for turn in range(turns):
            start = turn % len(names)
            texts = [sample.single[(turn + n) % len(sample.single)] for n in range(_CALLS)]
            for name in names[start:] + names[:start]:
                for text in texts[:_WARM_UP]:
                    models[name].logits([text])
                times[name] += [latency_ms(models[name], text) for text in texts]
            bar.advance(1)
    return {name: float(np.percentile(own, 25)) for name, own in times.items()}


def _rates(sample: Sample, models: dict[str, Answerer], *, title: str) -> dict[str, float]:
    """Most texts a second of every model in bulk over some rounds."""
    names, best = list(models), dict.fromkeys(models, 0.0)
    texts = sorted(sample.bulk, key=characters)
    count = max(1, round(_BULK_A_CORE * available_cores() / pairs_a_query(texts)))
    with step(title, _ROUNDS) as bar:
        for turn in range(_ROUNDS):
            start = turn % len(names)
            for name in names[start:] + names[:start]:
                best[name] = max(best[name], bulk_rate(models[name], texts, count))
            bar.advance(1)
    return best


def probe_structures(whole: Whole, vocabulary: int) -> list[Structure]:
    """What a table is fitted to: few, but each size is seen small, large and between.

    No more layers than four: a layer costs the same wherever it stands, but for the last.
    """

    def layers(wished: int) -> int:
        return min(wished, whole.layers)

    def heads(share: float) -> int:
        return max(1, round(share * whole.heads))

    def neurons(share: float) -> int:
        return max(1, round(share * whole.neurons))

    if not whole.prunable:
        counts = sorted({layers(1), layers(2), layers(4)})
        sizes = [(count, whole.heads, whole.neurons) for count in counts]
    else:
        sizes = [
            (layers(1), 1, neurons(1 / 64)),
            (layers(1), heads(1), neurons(1 / 4)),
            (layers(2), heads(1 / 2), neurons(1)),
            (layers(2), heads(1), neurons(1 / 16)),
            (layers(2), 1, neurons(1 / 4)),
            (layers(3), heads(1 / 6), neurons(1 / 12)),
            (layers(3), heads(1 / 2), neurons(1 / 2)),
            (layers(4), 1, neurons(1 / 64)),
            (layers(3), heads(1), neurons(1)),
        ]
    wide = [vocabulary + 2048 * (number % 2) for number in range(len(sizes))]
    return [Structure(*size, rows) for size, rows in zip(sizes, wide, strict=True)]


def small_tokens(teacher: Checkpoint, encoded: Encoded) -> Trimmed | None:
    """A tokenizer of the encoded texts' tokens alone, or None where it cannot be made."""
    try:
        return trim_vocabulary(teacher.tokenizer, [encoded])
    except StudentError:
        return None


def median_rows(lengths: np.ndarray, count: int) -> np.ndarray:
    """The rows whose length is nearest to the median, `count` at most."""
    middle = float(np.median(lengths))
    return np.sort(np.argsort(np.abs(lengths - middle), kind="stable")[:count])


def held_out_structures(whole: Whole, vocabulary: int) -> list[Structure]:
    """Two structures that are measured and not fitted to, to know the fit's error."""
    layers = min(3, whole.layers)
    if not whole.prunable:
        return [Structure(layers, whole.heads, whole.neurons, vocabulary)]
    sizes = [
        (layers, max(1, whole.heads // 3), max(1, whole.neurons // 6)),
        (min(2, whole.layers), max(1, whole.heads // 4), max(1, whole.neurons // 3)),
    ]
    return [Structure(*size, vocabulary) for size in sizes]
