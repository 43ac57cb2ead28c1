"""What a student of a language model must know of its teacher's tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from limbeck.objective.foretold import teacher_classes

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class TokensSide:
    """How the teacher's answers (`data.likely`) tell of tokens, and which of them the student has.

    Attributes:
        top_k: Tokens that are told of at each place; 0 for the whole vocabulary in its order.
        vocabulary: The student's.
        kept: int64, the teacher's number of each of the student's tokens; None for the same ones.
        numbers: int64 [teacher's vocabulary], the student's number of each token, -1 for none;
            None for the same ones.
    """

    top_k: int
    vocabulary: int
    kept: Tensor | None = None
    numbers: Tensor | None = None

    @staticmethod
    def of(top_k: int, kept: np.ndarray | None, *, vocabulary: int) -> TokensSide:
        """The side of a student with these of the teacher's `vocabulary` tokens, or with all."""
        import torch

        if kept is None:
            return TokensSide(top_k, vocabulary)
        own = torch.from_numpy(kept)
        numbers = torch.full((vocabulary,), -1, dtype=torch.int64)
        numbers[own] = torch.arange(len(own))
        return TokensSide(top_k, len(own), own, numbers)

    def likely(self, told: Tensor) -> Tensor:
        """The likely tokens under the student's numbers: int64 [places, k], -1 for none.

        Args:
            told: What the teacher says, on the CPU: [places, 2k + 1].
        """
        ids = told[:, 1 : 1 + self.top_k].long()
        return ids if self.numbers is None else self.numbers[ids]

    def classes(self, told: Tensor, likely: Tensor | None) -> Tensor:
        """The teacher's log-probabilities of what the student's are told of.

        Args:
            told: What the teacher says: [places, 2k + 1], or log-probabilities of a whole
                vocabulary behind that of the token [places, vocabulary + 1].
            likely: As the student was asked, or None for the whole vocabulary.
        """
        if likely is not None:
            known = likely.to(told.device) >= 0
            return teacher_classes(told[:, 1 + self.top_k :], known, vocabulary=self.vocabulary)
        whole = told[:, 1:]
        if self.kept is not None:
            whole = whole.index_select(1, self.kept.to(whole.device)).log_softmax(dim=1)
        return whole
