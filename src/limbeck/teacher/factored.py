"""Word embeddings as a narrow table and a map to the hidden width: fewer numbers, one product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

CODES, DIRECTIONS = "codes.weight", "directions.weight"
"""What its two tables are called, below the name of the word embeddings."""


def factor_embedding(model: PreTrainedModel, codes: Tensor, directions: Tensor) -> None:
    """Put a product in the place of the model's word embeddings.

    Args:
        model: Any with word embeddings, factored already or not; changed in place.
        codes: Of each token [vocabulary, rank].
        directions: What a code is multiplied by [hidden, rank].
    """
    model.set_input_embeddings(_factored(codes, directions))


def blank_factors(model: PreTrainedModel, rank: int) -> None:
    """The same with numbers that mean nothing yet: weights are to be read into it."""
    import torch

    table = embedding_table(model)
    codes, directions = torch.zeros(table.shape[0], rank), torch.zeros(table.shape[1], rank)
    factor_embedding(model, codes, directions)


def embedding_table(model: PreTrainedModel) -> Tensor:
    """The word embeddings [vocabulary, hidden], multiplied out where they are factored."""
    table: Any = model.get_input_embeddings()
    if hasattr(table, "directions"):
        return table.codes.weight.detach() @ table.directions.weight.detach().T
    return table.weight.detach()


def worth_factoring(tokens: int, width: int, rank: int) -> bool:
    """Whether a product of this rank has fewer numbers than the whole table."""
    return rank * (tokens + width) < tokens * width


def _factored(codes: Tensor, directions: Tensor) -> nn.Module:
    from torch import nn

    class FactoredEmbedding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.codes = nn.Embedding.from_pretrained(codes.clone(), freeze=False)
            self.directions = nn.Linear(*reversed(directions.shape), bias=False)
            self.directions.weight = nn.Parameter(directions.clone())

        def forward(self, input_ids: Tensor) -> Tensor:
            return self.directions(self.codes(input_ids))

    return FactoredEmbedding()
