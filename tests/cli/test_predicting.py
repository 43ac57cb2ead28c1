"""The lines of `limbeck predict` are JSON, whatever a class is called."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from limbeck.cli.predicting import _write
from limbeck.tasks.single_label import SINGLE_LABEL


class Odd:
    """Answers every text with the class after the last."""

    task = SINGLE_LABEL
    labels = ('a "quote"', "größer\n", "plain")

    def stream_probabilities(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        shares = np.array([[0.1, 0.2, 0.7], [1.0, 0.0, 0.0], [0.25, 0.7499996, 0.0000004]])
        yield shares[: len(list(texts))]


def test_lines_are_those_that_json_writes() -> None:
    """They are put together by hand, for speed; a quote in a class's name must not break them."""
    predictor: Any = Odd()
    stream = io.StringIO()
    _write(predictor, iter(["one", "two", "three"]), stream)
    expected = [("plain", 0.7), ('a "quote"', 1.0), ("größer\n", 0.75)]
    assert stream.getvalue() == "".join(
        json.dumps({"label": label, "probability": share}, ensure_ascii=False) + "\n"
        for label, share in expected
    )
