"""From what a model says of each token to the answer of each question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.data.encoded import grouped
from limbeck.data.per_question import SpanAnswers, SpanOutputs
from limbeck.data.per_word import WordOutputs
from limbeck.data.squad import Question
from limbeck.data.window_rows import as_rows
from limbeck.data.windows import Windows
from limbeck.errors import DataError

_CHUNK_TOKENS = 2**18


@dataclass(frozen=True)
class Answers:
    """The best answer of each question.

    Attributes:
        spans: int64 [questions, 2], its characters in the context, end excluded; 0 twice where no
            token of the context stands for a character.
        scores: float32 [questions], the sum of its start and end logit.
        nothing: float32 [questions], the same sum of the [CLS] token, the least over a question's
            windows: that of the window that looks most like an answer.
        windows: int64 [questions, 2], the windows that these two are from, counted over all
            questions.
    """

    spans: np.ndarray
    scores: np.ndarray
    nothing: np.ndarray
    windows: np.ndarray

    def told(self, *, margin: float) -> np.ndarray:
        """To which questions an answer is given (bool [questions]).

        Args:
            margin: It is told unless `nothing` is greater than its score by more than this;
                infinity where every question has one (SQuAD 1).
        """
        with np.errstate(invalid="ignore"):  # infinite where nothing can be said
            return np.isfinite(self.scores) & ~(self.nothing - self.scores > margin)

    def texts(self, questions: Sequence[Question], *, margin: float) -> list[str]:
        """The answers as text, "" where nothing answers.

        Args:
            questions: Those of the windows.
            margin: As of `told`.
        """
        told = self.told(margin=margin)
        return [
            question.context[start:end] if tell else ""
            for question, (start, end), tell in zip(
                questions, self.spans.tolist(), told, strict=True
            )
        ]


def best_answers(
    windows: Windows,
    start_logits: np.ndarray,
    end_logits: np.ndarray,
    *,
    max_answer_tokens: int,
) -> Answers:
    """The span of context tokens with the greatest sum of start and end logit, over all windows.

    Args:
        windows: Of the questions.
        start_logits: float [tokens], of all windows' tokens without padding, one window after the
            other, as `windows.encoded.ids`.
        end_logits: The same for ends.
        max_answer_tokens: The longest answer.

    Raises:
        DataError: If the logits are not as many as the tokens, or some are not finite.
    """
    tokens = int(windows.encoded.offsets[-1])
    for name, logits in (("start", start_logits), ("end", end_logits)):
        if logits.shape != (tokens,):
            raise DataError(
                f"{name} logits",
                f"their shape is {logits.shape}, but the windows have {tokens} tokens",
                "Give one logit a token, without padding, window after window.",
            )
        if not np.isfinite(logits).all():
            raise DataError(f"{name} logits", "some are not finite", "Look at the model.")
    rows = as_rows(windows, int(windows.rows[-1]) + 1)
    places, groups = rows.places, rows.groups
    assert places is not None
    assert groups is not None
    at = np.repeat(rows.offsets[:-1], np.diff(places.offsets)) + places.places
    said = WordOutputs(
        np.stack([start_logits[at], end_logits[at]], 1), places.offsets, places.places
    )
    spans = np.asarray(groups.spans).reshape(-1, 2)[at]
    return best_spans(grouped(said, groups.offsets, spans), max_answer_tokens=max_answer_tokens)


def best_spans(outputs: SpanOutputs, *, max_answer_tokens: int) -> Answers:
    """The span of context tokens with the greatest sum of start and end logit, over all windows.

    Every span of at most `max_answer_tokens` tokens is looked at, not only those of the n best
    starts and ends: it costs less than the model, and nothing is missed where all good ends come
    before the good starts.

    Args:
        outputs: Of the questions.
        max_answer_tokens: The longest answer.
    """
    first = np.flatnonzero(outputs.spans[:, 0] < 0)  # each window's place for no answer
    bounds = np.append(first, len(outputs.spans))
    rows = np.searchsorted(outputs.offsets, first, side="right") - 1
    count = len(first)
    best, ends, scores = (np.zeros(count, dtype=t) for t in (np.int64, np.int64, np.float32))
    lengths = np.diff(bounds) - 1
    step = max(1, _CHUNK_TOKENS // int(lengths.max(initial=1)))
    for at in range(0, count, step):
        chunk = slice(at, at + step)
        padded = _padded(first[chunk] + 1, lengths[chunk], outputs)
        best[chunk], ends[chunk], scores[chunk] = _best_spans(*padded, max_answer_tokens)
    nothing = outputs.values[first].astype(np.float32).sum(axis=1)
    chosen, least = _first_best(scores, rows), _first_best(-nothing, rows)
    place = first[chosen] + 1
    real = np.isfinite(scores[chosen])  # else there is no token of a character
    starts, stops = (np.where(real, place + at[chosen], 0) for at in (best, ends))
    spans = np.stack([outputs.spans[starts, 0], outputs.spans[stops, 1]], axis=1).astype(np.int64)
    spans[~real] = 0
    return Answers(spans, scores[chosen], nothing[least], np.stack([chosen, least], axis=1))


def told_answers(outputs: SpanOutputs, *, max_answer_tokens: int, no_answer: bool) -> SpanAnswers:
    """The answer to each question, and how sure the model is of it.

    A probability is that of the start times that of the end, over the places of the window that it
    is read in: those that stand for a character of the context, and the one for no answer.

    Args:
        outputs: Of the questions.
        max_answer_tokens: The longest answer.
        no_answer: Whether a question may have none.
    """
    best = best_spans(outputs, max_answer_tokens=max_answer_tokens)
    told = best.told(margin=0.0 if no_answer else float("inf"))
    window = np.where(told, best.windows[:, 0], best.windows[:, 1])
    scores = np.where(told, best.scores, best.nothing).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        probabilities = np.exp(scores - _log_sums(outputs)[window])
    return SpanAnswers(np.where(told[:, None], best.spans, -1), probabilities)


def _log_sums(outputs: SpanOutputs) -> np.ndarray:
    """Of each window, the log of the sum of exp of its starts, plus that of its ends."""
    first = np.flatnonzero(outputs.spans[:, 0] < 0)
    if not len(first):
        return np.zeros(0)
    allowed = (outputs.spans[:, 1] > outputs.spans[:, 0]) | (outputs.spans[:, 0] < 0)
    values = np.where(allowed[:, None], outputs.values.astype(np.float64), -np.inf)
    with np.errstate(invalid="ignore"):
        highest = np.maximum.reduceat(values, first)
        counts = np.diff(np.append(first, len(values)))
        sums = np.add.reduceat(np.exp(values - np.repeat(highest, counts, axis=0)), first)
    return (highest + np.log(sums)).sum(axis=1)


def _padded(
    first: np.ndarray, lengths: np.ndarray, outputs: SpanOutputs
) -> tuple[np.ndarray, np.ndarray]:
    """Both logits of the contexts [windows, tokens]; what stands for no character is -inf."""
    places = np.arange(max(1, int(lengths.max(initial=1))))
    real = places < lengths[:, None]
    flat = np.where(real, first[:, None] + places, 0)
    real &= (outputs.spans[:, 1] > outputs.spans[:, 0])[flat]
    starts, ends = (
        np.where(real, outputs.values[:, which][flat], -np.inf).astype(np.float32)
        for which in (0, 1)
    )
    return starts, ends


def _best_spans(
    starts: np.ndarray, ends: np.ndarray, longest: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First token, last token and score of each row's best span; the first of equals."""
    rows, width = np.arange(len(starts)), starts.shape[1]
    best = np.full(starts.shape, -np.inf, dtype=np.float32)
    length = np.zeros(starts.shape, dtype=np.int64)
    for more in range(min(longest, width)):
        with np.errstate(invalid="ignore"):  # of an export that gives infinities
            score = starts[:, : width - more] + ends[:, more:]
        better = score > best[:, : width - more]
        best[:, : width - more][better] = score[better]
        length[:, : width - more][better] = more
    first = best.argmax(1)
    return first, first + length[rows, first], best[rows, first]


def _first_best(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The first window with the greatest score of each question."""
    order = np.lexsort((np.arange(len(rows)), -scores, rows))
    return order[np.flatnonzero(np.diff(rows[order], prepend=-1))]
