"""Answers by onnxruntime, with the Rust tokenizer alone: no torch, no transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from limbeck.files import read_json


class OnnxAnswerer:
    """An exported model.

    Args:
        path: The .onnx file; tokenizer.json and limbeck.json lie beside it.
        threads: Threads of a product; onnxruntime's own choice if None.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        facts = read_json(path.parent / "limbeck.json")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._names = [entry.name for entry in self._session.get_inputs()]
        self._tokenizer = Tokenizer.from_file(str(path.parent / "tokenizer.json"))
        self._tokenizer.enable_truncation(facts["max_tokens"])
        self._tokenizer.enable_padding(
            direction=facts["padding_side"],
            pad_id=facts["pad_id"],
            pad_token=facts["pad_token"],
        )

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Logits [texts, classes], float32; the texts go through as one batch."""
        encodings = self._tokenizer.encode_batch(list(texts))
        arrays = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
        }
        inputs = {name: np.asarray(arrays[name], dtype=np.int64) for name in self._names}
        return np.asarray(self._session.run(None, inputs)[0], dtype=np.float32)
