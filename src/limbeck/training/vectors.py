"""What the term `vectors` computes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, assert_never

from limbeck.config.terms import VectorsTerm
from limbeck.objective import in_batch_similarity_kl, matryoshka, pooled_cosine, pooled_mse

if TYPE_CHECKING:
    from torch import Tensor


def vectors_value(term: VectorsTerm, student: Tensor, teacher: Tensor) -> Tensor:
    """The distance between the vectors of both sides, whole or by their first numbers too."""
    if not len(student):  # by chance, the teacher answered no row of this part
        return student.sum()
    match term.distance:
        case "cosine":
            return pooled_cosine(student, teacher)
        case "mse":
            return pooled_mse(student, teacher)
        case "similarity":
            sizes = sorted({*term.prefixes, student.shape[-1]})
            loss = partial(in_batch_similarity_kl, temperature=term.temperature)
            return matryoshka(loss, student, teacher, sizes=sizes, weights=[1.0] * len(sizes))
        case _:
            assert_never(term.distance)
