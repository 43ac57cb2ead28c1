"""Makes small splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from limbeck.config.recipe import DataConfig
from limbeck.data.raw_labels import ONE_LABEL
from limbeck.data.texts import Texts, gather


@pytest.fixture(scope="session")
def texts_of() -> Callable[..., Texts]:
    """Makes `Texts` of texts and, if given, labels."""

    def make(texts: Sequence[str], labels: Sequence[object] | None = None, name: str = "train"):
        rows = [
            {"text": text} | ({} if labels is None else {"label": labels[place]})
            for place, text in enumerate(texts)
        ]
        return gather(
            name, rows, "memory", DataConfig(), labels=ONE_LABEL if labels is not None else None
        )

    return make
