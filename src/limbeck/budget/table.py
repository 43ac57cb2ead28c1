"""The costs of structures on this machine: measured on a few random models, fitted, and kept."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.budget.probe import Mold, Probe, held_out_structures, probe_structures, take_probes
from limbeck.budget.structure import Structure
from limbeck.files import read_json, write_json
from limbeck.machine import describe

_VERSION = 1
"""Of the file, and of what is measured for it."""


@dataclass(frozen=True)
class Predicted:
    """What structures cost; numbers, or arrays of them."""

    latency_ms: Any
    texts_per_s: Any
    size_mb: Any


@dataclass(frozen=True)
class Costs:
    """What structures cost in one runtime; each list weighs the numbers of `_time` or `_size`.

    Attributes:
        single: Of the time of one text a call, in ms.
        bulk: Of the time of one of many texts, in ms.
        size: Of the file, in MB.
        single_error: Mean relative error of the predicted latency over structures that were
            measured and not fitted to.
        bulk_error: Likewise, of texts a second.
    """

    single: tuple[float, ...]
    bulk: tuple[float, ...]
    size: tuple[float, ...]
    single_error: float
    bulk_error: float

    def of(self, layers: int, heads: Any, neurons: Any, vocabulary: int) -> Predicted:
        """The costs of structures; heads and neurons are averages a layer, numbers or arrays."""
        time = _time(layers, heads, neurons)
        return Predicted(
            latency_ms=_weighed(self.single, time),
            texts_per_s=1000 / _weighed(self.bulk, time),
            size_mb=_weighed(self.size, _size(layers, heads, neurons, vocabulary)),
        )

    def of_structure(self, structure: Structure) -> Predicted:
        """The costs of one structure."""
        s = structure
        return self.of(s.layers, s.heads, s.neurons, s.vocabulary)


@dataclass(frozen=True)
class Table:
    """What was measured on this machine for the students of one teacher.

    Attributes:
        costs: By runtime.
        failures: Why a runtime is missing.
        teacher_ms: Median of single texts, of the teacher as transformers serves it.
        length: Tokens of these texts.
        probes: All that was measured.
    """

    costs: dict[str, Costs]
    failures: dict[str, str]
    teacher_ms: float
    length: int
    probes: tuple[Probe, ...]

    def twin(self, structure: Structure, runtime: str) -> Probe | None:
        """What was measured of a random model of just this structure, if one was."""
        return next(
            (p for p in self.probes if (p.structure, p.runtime) == (structure, runtime)), None
        )


def read_table(path: Path) -> Table | None:
    """The table in a file that `write_table` wrote, or None if there is none or it is damaged."""
    if not path.exists():
        return None
    try:
        content = read_json(path)
        return Table(
            costs={name: _costs(costs) for name, costs in content["costs"].items()},
            failures=content["failures"],
            teacher_ms=content["teacher_ms"],
            length=content["length"],
            probes=tuple(
                Probe(**{**probe, "structure": Structure(**probe["structure"])})
                for probe in content["probes"]
            ),
        )
    except (ValueError, KeyError, TypeError):
        return None  # it is measured again


def write_table(path: Path, table: Table) -> None:
    """Keep a table."""
    write_json(path, asdict(table))


def table_path(folder: Path, mold: Mold, runtimes: Sequence[str]) -> Path:
    """Where the table of these models on this machine is kept."""
    settings = mold.teacher.config.to_dict()
    for alien in ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "id2label",
                  "label2id", "architectures"):  # fmt: skip
        settings.pop(alien, None)
    machine = describe()
    facts = {
        "version": _VERSION,
        "machine": {key: machine[key] for key in ("processor", "cores", "python")},
        "versions": {name: _version(name) for name in _PACKAGES},
        "model": settings,
        "outputs": len(mold.teacher.labels),
        "head": mold.task.head,
        "vocabulary": mold.vocabulary,
        "max_tokens": mold.max_tokens,
        "texts": [mold.sample.length, round(mold.sample.mean), mold.paired],
        "runtimes": list(runtimes),
    }
    text = json.dumps(facts, sort_keys=True, default=str)
    return folder / f"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}.json"


_PACKAGES = ("limbeck", "onnx", "onnxruntime", "openvino", "tokenizers", "torch", "transformers")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def measure_table(mold: Mold, runtimes: Sequence[str], *, teacher_ms: float) -> Table:
    """Measure random models of this mold and fit their costs.

    Args:
        mold: What they are made after.
        runtimes: Names of export variants; one that cannot be made is told in `failures`.
        teacher_ms: Median of single texts of the teacher in transformers.
    """
    fitted = probe_structures(mold.whole, mold.vocabulary)
    held_out = held_out_structures(mold.whole, mold.vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        probes, failures = take_probes(mold, [*fitted, *held_out], runtimes, Path(folder))
    costs = {}
    for name in runtimes:
        own = [probe for probe in probes if probe.runtime == name]
        if own:
            costs[name] = fit(
                [probe for probe in own if probe.structure in fitted],
                [probe for probe in own if probe.structure not in fitted],
            )
    return Table(costs, failures, teacher_ms, mold.sample.length, tuple(probes))


def fit(probes: Sequence[Probe], held_out: Sequence[Probe]) -> Costs:
    """The costs that come nearest to what was measured, none negative.

    Nearest in relative error: a tenth of a millisecond matters to the smallest, not to the largest.

    Args:
        probes: What to fit to.
        held_out: What to tell the errors by.
    """
    shapes = [probe.structure for probe in probes]
    times = np.array([_time(s.layers, s.heads, s.neurons) for s in shapes], dtype=float)
    sizes = np.array([_size(s.layers, s.heads, s.neurons, s.vocabulary) for s in shapes], float)
    found = Costs(
        single=_nearest(times, np.array([probe.latency_ms for probe in probes])),
        bulk=_nearest(times, np.array([1000 / probe.texts_per_s for probe in probes])),
        size=_nearest(sizes, np.array([probe.size_mb for probe in probes])),
        single_error=0.0,
        bulk_error=0.0,
    )
    said = [(found.of_structure(probe.structure), probe) for probe in held_out]
    if not said:
        return found
    single = [abs(one.latency_ms / probe.latency_ms - 1) for one, probe in said]
    bulk = [abs(one.texts_per_s / probe.texts_per_s - 1) for one, probe in said]
    return replace(found, single_error=float(np.mean(single)), bulk_error=float(np.mean(bulk)))


def _nearest(numbers: np.ndarray, measured: np.ndarray) -> tuple[float, ...]:
    from scipy.optimize import nnls

    weights, _ = nnls(numbers / measured[:, None], np.ones(len(measured)))
    return tuple(float(weight) for weight in weights)


def _time(layers: int, heads: Any, neurons: Any) -> tuple[Any, ...]:
    """What time is a sum of: the last layer is another one where its first token alone is read."""
    before = layers - 1
    return (1, before, before * heads, before * neurons, heads, neurons)


def _size(layers: int, heads: Any, neurons: Any, vocabulary: int) -> tuple[Any, ...]:
    """What a file's size is a sum of, exactly but for names."""
    return (1, vocabulary, layers, layers * heads, layers * neurons)


def _weighed(weights: Sequence[float], numbers: Sequence[Any]) -> Any:
    return sum(weight * number for weight, number in zip(weights, numbers, strict=True))


def _costs(content: dict[str, Any]) -> Costs:
    lists = {key: tuple(content[key]) for key in ("single", "bulk", "size")}
    return Costs(**lists, single_error=content["single_error"], bulk_error=content["bulk_error"])
