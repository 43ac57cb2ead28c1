"""What both tasks of language models share: likelihoods and likeliest tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.schedule import Adaptive
from limbeck.config.terms import LogitsTerm
from limbeck.data import likely
from limbeck.data.per_word import WordOutputs
from limbeck.metrics.language_modeling import perplexity, share
from limbeck.tasks.task import Said

if TYPE_CHECKING:
    from torch import Tensor


def inverse_perplexity(sums: np.ndarray) -> np.ndarray:
    """1 / perplexity of sums [..., 2]: the geometric mean of the probabilities of the tokens."""
    return 1 / perplexity(sums)


def sums_of(outputs: WordOutputs) -> np.ndarray:
    """Each text's summed -log p(token) in nats, and its places: float64 [rows, 2]."""
    losses = -likely.log_probabilities(outputs.values).astype(np.float64)
    return np.stack([_by_row(losses, outputs.offsets), np.diff(outputs.offsets)], axis=1)


def other_tokens(outputs: WordOutputs, others: WordOutputs) -> np.ndarray:
    """On what share of each text's places the likeliest tokens differ: float64 [rows].

    Raises:
        ValueError: If the two are of other places (they would be compared all the same).
    """
    if not np.array_equal(outputs.offsets, others.offsets):
        raise ValueError(
            f"other_tokens: one model foretells {int(outputs.offsets[-1])} tokens, the other "
            f"{int(others.offsets[-1])}. Pass answers of models with the same tokenizer."
        )
    differ = likely.ids(outputs.values)[:, 0] != likely.ids(others.values)[:, 0]
    return _by_row(differ, outputs.offsets) / np.maximum(1, np.diff(outputs.offsets))


def apart(outputs: WordOutputs, others: WordOutputs) -> np.ndarray:
    """How many nats a token two models' losses on each text differ by: float64 [rows]."""
    return np.abs(share(sums_of(outputs)) - share(sums_of(others)))


def always_one_token(outputs: WordOutputs) -> bool:
    """Whether the likeliest token is the same at every place."""
    first = likely.ids(outputs.values)[:, 0]
    return len(first) > 0 and bool((first == first[0]).all())


def figures(outputs: WordOutputs, right: np.ndarray) -> dict[str, float]:
    """Nats a token and the share of places whose likeliest token is right.

    Args:
        outputs: Of all rows.
        right: bool [places].
    """
    sums = sums_of(outputs).sum(axis=0)
    return {"nats_a_token": float(share(sums)), "accuracy": float(np.mean(right))}


def rightly_told(outputs: WordOutputs) -> np.ndarray:
    """Whether each place's likeliest token is what stands there (bool [places]).

    The token is told by its log-probability alone: it is that of the likeliest if they are equal.
    """
    values = outputs.values
    return likely.log_probabilities(values) >= likely.likely_log_probabilities(values)[:, 0]


def told(answer: WordOutputs) -> Said:
    """A text's answer in words: how well it is foretold."""
    sums = sums_of(answer).sum(axis=0)
    return Said(f"perplexity {float(perplexity(sums)):.1f}", float(inverse_perplexity(sums)))


def unfit(term: LogitsTerm) -> str:
    """Why a term says nothing about tokens; empty if it does."""
    kept = "of a vocabulary the likeliest tokens of each place are kept, and all others as one"
    if term.divergence in ("decoupled", "correlation"):
        return f"{kept}: {term.divergence} needs the same classes at every place"
    if term.standardize:
        return f"{kept}: standardized, they would say nothing of the rest"
    if isinstance(term.temperature, Adaptive):
        return f"{kept}: an adaptive temperature compares the spread of whole logits"
    if term.examples == "teacher_correctness":
        return f"{kept}: the token that stands there may be among the rest"
    return ""


def only_one(outputs: Tensor) -> Tensor:
    """What several language models say together is refused by the plan: their tokens differ.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        f"mixed: outputs have shape {tuple(outputs.shape)}, but language models are not mixed. "
        f"Pass one teacher's answers."
    )


def _by_row(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sums of values [places] by row."""
    whole = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.diff(whole[offsets])
