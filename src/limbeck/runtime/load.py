"""The answerer of an export, by the export's name."""

from __future__ import annotations

from pathlib import Path

from limbeck.runtime.answerer import Answerer
from limbeck.runtime.onnx_model import OnnxAnswerer


def load_export(name: str, path: Path, *, bulk: bool = False) -> Answerer:
    """An exported file in its runtime.

    Args:
        name: The variant: openvino, or one that onnxruntime runs.
        path: The .onnx file.
        bulk: Load it for many texts rather than for one at a time.

    Raises:
        ExportError: If its runtime is not installed.
    """
    if name == "openvino":
        from limbeck.runtime.openvino_model import OpenVinoAnswerer

        return OpenVinoAnswerer(path, bulk=bulk)
    return OnnxAnswerer(path, bulk=bulk)
