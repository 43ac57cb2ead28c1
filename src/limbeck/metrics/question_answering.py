"""Extractive question answering: how much of a right answer was said, by SQuAD's rules."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized_answer(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, single spaces between words."""
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> np.ndarray:
    """1.0 for each question whose prediction is one of its answers once normalized, else 0.0.

    Args:
        predictions: One a question; "" where the model says that there is no answer.
        answers: The right ones of each question, all equally good; none where there is none.

    Returns:
        One a question [questions], to be averaged.

    Raises:
        ValueError: If there is not one list of answers a question.

    Reference:
        Rajpurkar, Jia, Liang. Know What You Don't Know: Unanswerable Questions for SQuAD, 2018.
        https://arxiv.org/abs/1806.03822
        The normalization is that of the data set's official evaluation.
    """
    return _best(predictions, answers, lambda own, right: float(own == right), where="exact_match")


def token_f1(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> np.ndarray:
    """F1 of the words that each prediction shares with the answer it is nearest to, 0 to 1.

    Args:
        predictions: As in `exact_match`.
        answers: As in `exact_match`.

    Returns:
        One a question [questions], to be averaged. Where there is no answer, 1 for a prediction
        without words and 0 for any other.

    Raises:
        ValueError: If there is not one list of answers a question.

    Reference:
        As `exact_match`.
    """
    return _best(predictions, answers, _shared_words, where="token_f1")


def _shared_words(own: str, right: str) -> float:
    said, wanted = own.split(), right.split()
    if not said or not wanted:
        return float(said == wanted)
    shared = (Counter(said) & Counter(wanted)).total()
    return 2 * shared / (len(said) + len(wanted))


def _best(
    predictions: Sequence[str],
    answers: Sequence[Sequence[str]],
    score: Callable[[str, str], float],
    *,
    where: str,
) -> np.ndarray:
    """The score against the nearest answer, question by question."""
    if len(predictions) != len(answers):
        raise ValueError(
            f"{where}: there are {len(predictions)} predictions and answers to {len(answers)} "
            f"questions. There must be one prediction a question. Pass '' for no answer."
        )
    values = []
    for prediction, right in zip(predictions, answers, strict=True):
        own = normalized_answer(prediction)
        # An answer of articles and punctuation alone cannot be said; without others it is none.
        wanted = [text for text in map(normalized_answer, right) if text] or [""]
        values.append(max(score(own, one) for one in wanted))
    return np.array(values, dtype=np.float64)
