"""Named student shapes: the sizes of published students, for `student.shape`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Layered = Literal["same", "distilbert", "albert", "mobilebert"]
"""Architectures of layers."""
Architecture = Literal["same", "distilbert", "albert", "mobilebert", "static"]


@dataclass(frozen=True)
class Shape:
    """Sizes of an encoder.

    Attributes:
        layers: Transformer layers.
        hidden: Width of the residual stream.
        heads: Attention heads a layer.
        intermediate: Neurons of a feed-forward layer.
        source: Where the shape was published.
        architecture: What it is a shape of; same: of any that the student has.
        embedding: Width of factorized word embeddings.
        bottleneck: Width inside MobileBERT's layers.
    """

    layers: int
    hidden: int
    heads: int
    intermediate: int
    source: str
    architecture: Architecture = "same"
    embedding: int | None = None
    bottleneck: int | None = None


SHAPES: dict[str, Shape] = {
    "distilbert": Shape(6, 768, 12, 3072, "Sanh et al. 2019, arXiv 1910.01108"),
    "tinybert4": Shape(4, 312, 12, 1200, "Jiao et al. 2020, arXiv 1909.10351"),
    "tinybert6": Shape(6, 768, 12, 3072, "Jiao et al. 2020, arXiv 1909.10351"),
    "minilm-l6-h384": Shape(6, 384, 12, 1536, "Wang et al. 2020, arXiv 2012.15828"),
    "minilm-l12-h384": Shape(12, 384, 12, 1536, "Wang et al. 2020, arXiv 2002.10957"),
    "bert-mini": Shape(4, 256, 4, 1024, "Turc et al. 2019, arXiv 1908.08962"),
    "bert-tiny": Shape(2, 128, 2, 512, "Turc et al. 2019, arXiv 1908.08962"),
    "albert-base": Shape(
        12, 768, 12, 3072, "Lan et al. 2020, arXiv 1909.11942", "albert", embedding=128
    ),
    "albert-large": Shape(
        24, 1024, 16, 4096, "Lan et al. 2020, arXiv 1909.11942", "albert", embedding=128
    ),
    "mobilebert": Shape(
        24, 512, 4, 512, "Sun et al. 2020, arXiv 2004.02984", "mobilebert", 128, 128
    ),
}
