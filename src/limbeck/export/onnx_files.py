"""ONNX files of a Hugging Face folder: float32, fused, int8, and fused int8; and who reads them."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.config.recipe import CleanConfig, TeacherConfig
from limbeck.files import whole_file, write_json
from limbeck.progress import step
from limbeck.runtime.openvino_model import openvino_failure
from limbeck.tasks.head import OF_TOKENS, head_of
from limbeck.tasks.settling import facts_of
from limbeck.tasks.task import Task
from limbeck.teacher.first_token import first_token_only
from limbeck.teacher.head import logits_of
from limbeck.teacher.load import Checkpoint, load_classifier, look_at
from limbeck.teacher.pooling import vectors_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_OPSET = 17
FUSABLE = {"bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "mpnet"}


@dataclass(frozen=True)
class Variant:
    """An ONNX file that was made and a runtime that reads it, or why there is none.

    Attributes:
        name: onnx, onnx_fused, onnx_int8 or onnx_fused_int8, which onnxruntime reads; openvino.
        path: The file.
        failure: Why it is not there, or None.
    """

    name: str
    path: Path
    failure: str | None = None


FILES = {
    "onnx": "model.onnx",
    "onnx_fused": "model_fused.onnx",
    "onnx_int8": "model_int8.onnx",
    "onnx_fused_int8": "model_fused_int8.onnx",
    "openvino": "model.onnx",
}


def export_variants(
    source: Path | str | TeacherConfig,
    folder: Path,
    *,
    max_tokens: int,
    clean: CleanConfig,
    task: Task,
    paired: bool | None = None,
    names: tuple[str, ...] = tuple(FILES),
    title: str = "exporting",
) -> list[Variant]:
    """Write the ONNX variants of a Hugging Face folder, tokenizer and config beside them.

    A variant that cannot be made is returned with its reason; the others are still there.

    Args:
        source: A folder with any of the heads that limbeck knows, or a hub name.
        folder: Where the files go.
        max_tokens: Where texts are cut at prediction.
        clean: The cleaning that is applied at prediction.
        task: What the outputs mean.
        paired: Whether it answers pairs of texts, so that others are refused at prediction; None
            if that is not known.
        names: Which variants (keys of `FILES`); ``onnx`` is always made, the others need it.
        title: Of the progress bar.
    """
    config = source if isinstance(source, TeacherConfig) else TeacherConfig(path=str(source))
    checkpoint = look_at(config, role="model")
    model = load_classifier(checkpoint, attention="eager")
    folder.mkdir(parents=True, exist_ok=True)
    _write_companions(checkpoint, folder, max_tokens, clean, task, paired)
    makers: dict[str, Callable[[Path], None]] = {
        "onnx": lambda path: _to_onnx(model, checkpoint, path),
        "onnx_fused": lambda path: _fuse(checkpoint, folder / FILES["onnx"], path),
        "onnx_int8": lambda path: _quantize(folder / FILES["onnx"], path),
        "onnx_fused_int8": lambda path: _quantize(folder / FILES["onnx_fused"], path),
    }
    variants = []
    with step(title, len(names)) as bar:
        for name in names:
            path = folder / FILES[name]
            if name in makers:
                variants.append(_made(name, path, makers[name], checkpoint))
            else:
                variants.append(Variant(name, path, openvino_failure(path)))
            bar.advance(1)
    return variants


def _made(name: str, path: Path, make: Callable[[Path], None], checkpoint: Checkpoint) -> Variant:
    try:
        with whole_file(path) as part, _quiet():
            make(part)
            _run_once(part, checkpoint)
    except Exception as error:
        # Exporters fail in many ways on models they do not know; the gate names each.
        message = str(error).strip().splitlines()
        return Variant(name, path, f"{type(error).__name__}: {message[0][:300] if message else ''}")
    return Variant(name, path)


def _run_once(path: Path, checkpoint: Checkpoint) -> None:
    """Let onnxruntime compute an answer: some graphs are refused only when they run."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    example = _example(checkpoint, "np")
    session.run(None, {one.name: example[one.name] for one in session.get_inputs()})


def _example(checkpoint: Checkpoint, tensors: str) -> Any:
    """Two texts as the tokenizer gives them, the shorter one padded."""
    return checkpoint.tokenizer(
        ["a text", "a longer text, so that there is padding"], padding=True, return_tensors=tensors
    )


def _write_companions(
    checkpoint: Checkpoint,
    folder: Path,
    max_tokens: int,
    clean: CleanConfig,
    task: Task,
    paired: bool | None,
) -> None:
    checkpoint.tokenizer.save_pretrained(folder)
    checkpoint.config.save_pretrained(folder)
    write_json(
        folder / "limbeck.json",
        {
            **facts_of(task),
            "pairs": paired,
            "labels": [] if task.reads == "prose" else checkpoint.labels,
            "max_tokens": checkpoint.max_tokens(max_tokens),
            "padding_side": checkpoint.tokenizer.padding_side,
            "pad_id": checkpoint.pad_id,
            "pad_token": checkpoint.tokenizer.pad_token,
            "clean": clean.model_dump(),
        },
    )


def _to_onnx(model: PreTrainedModel, checkpoint: Checkpoint, path: Path) -> None:
    import torch
    from torch import nn

    names = ["input_ids", "attention_mask"]
    if checkpoint.wants_types:
        names.append("token_type_ids")

    class LogitsOnly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            with first_token_only(self.model, checkpoint.family):
                return logits_of(self.model(**dict(zip(names, inputs, strict=True))))

    output = "logits" if vectors_of(checkpoint.config) is None else "sentence_embedding"
    example = _example(checkpoint, "pt")
    axes = {0: "batch", 1: "tokens"}
    of_words = head_of(checkpoint.config) in ("token_classifier", "span", *OF_TOKENS)
    # The exporter that traces: onnxruntime's fusions and quantizer know its graphs, and not
    # those of torch.export (seen with torch 2.13 and onnxruntime 1.31).
    torch.onnx.export(
        LogitsOnly(),
        tuple(example[name] for name in names),
        str(path),
        dynamo=False,
        opset_version=_OPSET,
        input_names=names,
        output_names=[output],
        dynamic_axes=dict.fromkeys(names, axes) | {output: axes if of_words else {0: "batch"}},
    )
    if checkpoint.family.shared_layers:
        _read_shared_weights_directly(path)


def _read_shared_weights_directly(path: Path) -> None:
    """Let every layer of a model with shared layers read its weights themselves.

    The exporter gives them to the first layer and copies of them (Identity) to all others, which
    the quantizer takes for activations: it quantized one layer of ALBERT's, left the others in
    float32, and kept each weight twice.
    """
    import onnx

    model = onnx.load(path)
    graph = model.graph
    weights = {weight.name for weight in graph.initializer}
    outputs = {output.name for output in graph.output}
    copies: dict[str, str] = {}
    for node in list(graph.node):  # in their order, so that a copy of a copy is found too
        source = copies.get(node.input[0], node.input[0]) if node.input else ""
        if node.op_type == "Identity" and source in weights and node.output[0] not in outputs:
            copies[node.output[0]] = source
            graph.node.remove(node)
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = copies.get(name, name)
    onnx.save(model, path)


def _fuse(checkpoint: Checkpoint, source: Path, path: Path) -> None:
    from onnxruntime.transformers.optimizer import optimize_model

    config = checkpoint.config
    if config.model_type not in FUSABLE:
        raise ValueError(f"onnxruntime's fusions do not know {config.model_type!r} models")
    model = optimize_model(
        str(source),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        opt_level=0,
    )
    _count_heads(model.model.graph, config.hidden_size // config.num_attention_heads)
    model.save_model_to_file(str(path))


def _count_heads(graph: Any, head_size: int) -> None:
    """Give every fused attention the heads that its weights have.

    The fusion gives each the number of the config; a thin model's layers have fewer, of the old
    size, and were then cut into other heads, or refused by onnxruntime when they answered.
    """
    widths = {weight.name: weight.dims[-1] for weight in graph.initializer}
    places = {"Attention": 1, "MultiHeadAttention": 3}
    for node in graph.node:
        if node.op_type not in places:
            continue
        place = places[node.op_type]
        width = widths.get(node.input[place]) if place < len(node.input) else None
        heads, odd = divmod(width or 0, 3 * head_size)
        if odd or not heads:
            raise ValueError(f"the heads of the fused {node.op_type} {node.name} cannot be counted")
        for attribute in node.attribute:
            if attribute.name == "num_heads":
                attribute.i = heads


def _quantize(source: Path, path: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    if not source.exists():
        raise ValueError(f"there is no {source.name} to quantize")
    quantize_dynamic(
        source,
        path,
        weight_type=QuantType.QInt8,
        # One scale a column: on a half-depth sst2 student the logits move a third as far as with
        # one a matrix (0.08 against 0.22 on average), at the same size and speed.
        per_channel=True,
        reduce_range=not _has_vnni(),
        # The fused graph holds operators whose output types onnx cannot infer.
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )


def _has_vnni() -> bool:
    """Whether int8 products accumulate without saturating on this processor."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return any(name in flags for name in ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp"))


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters warn and log at length about what the gate then measures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


def remove_unaccepted(folder: Path, keep: set[str]) -> None:
    """Delete the files that no variant in `keep` reads."""
    for file in set(FILES.values()) - {FILES[name] for name in keep}:
        (folder / file).unlink(missing_ok=True)
        shutil.rmtree(folder / f"{file}.data", ignore_errors=True)
