"""From what a model says of each token to the answer of each question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.data.squad import Question
from limbeck.data.windows import Windows
from limbeck.errors import DataError

_CHUNK_TOKENS = 2**18


@dataclass(frozen=True)
class Answers:
    """The best answer of each question.

    Attributes:
        spans: int64 [questions, 2], its characters in the context, end excluded.
        scores: float32 [questions], the sum of its start and end logit.
        nothing: float32 [questions], the same sum of the [CLS] token, the least over a question's
            windows: that of the window that looks most like an answer.
    """

    spans: np.ndarray
    scores: np.ndarray
    nothing: np.ndarray

    def texts(self, questions: Sequence[Question], *, margin: float) -> list[str]:
        """The answers as text, "" where nothing answers.

        Args:
            questions: Those of the windows.
            margin: An answer is told unless `nothing` is greater than its score by more than this;
                infinity where every question has one (SQuAD 1).
        """
        told = self.nothing - self.scores <= margin
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

    Every span of at most `max_answer_tokens` tokens is looked at, not only those of the n best
    starts and ends: it costs less than the model, and nothing is missed where all good ends come
    before the good starts.

    Args:
        windows: Of the questions.
        start_logits: float [tokens], of all windows' tokens without padding, one window after the
            other, as `windows.encoded.ids`.
        end_logits: The same for ends.
        max_answer_tokens: The longest answer.

    Raises:
        DataError: If the logits are not as many as the tokens, or some are not finite.
    """
    offsets = windows.encoded.offsets
    for name, logits in (("start", start_logits), ("end", end_logits)):
        if logits.shape != (int(offsets[-1]),):
            raise DataError(
                f"{name} logits",
                f"their shape is {logits.shape}, but the windows have {int(offsets[-1])} tokens",
                "Give one logit a token, without padding, window after window.",
            )
        if not np.isfinite(logits).all():
            raise DataError(f"{name} logits", "some are not finite", "Look at the model.")
    best, ends, scores = (np.zeros(len(windows), dtype=t) for t in (np.int64, np.int64, np.float32))
    lengths = windows.context[:, 1] - windows.context[:, 0]
    step = max(1, _CHUNK_TOKENS // int(lengths.max(initial=1)))
    for at in range(0, len(windows), step):
        chunk = slice(at, at + step)
        first = offsets[:-1][chunk] + windows.context[chunk, 0]
        best[chunk], ends[chunk], scores[chunk] = _best_spans(
            *_padded(first, lengths[chunk], windows, start_logits, end_logits), max_answer_tokens
        )
    chosen = _first_best(scores, windows.rows)
    place = offsets[chosen] + windows.context[chosen, 0]
    spans = np.asarray(windows.spans).reshape(-1, 2)
    cls = offsets[:-1] + windows.cls
    first_of = np.flatnonzero(np.diff(windows.rows, prepend=-1))
    nothing = start_logits[cls].astype(np.float32) + end_logits[cls].astype(np.float32)
    return Answers(
        spans=np.stack([spans[place + best[chosen], 0], spans[place + ends[chosen], 1]], 1).astype(
            np.int64
        ),
        scores=scores[chosen],
        nothing=np.minimum.reduceat(nothing, first_of),
    )


def _padded(
    first: np.ndarray,
    lengths: np.ndarray,
    windows: Windows,
    start_logits: np.ndarray,
    end_logits: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Both logits of the contexts [windows, tokens]; what stands for no character is -inf."""
    places = np.arange(int(lengths.max(initial=1)))
    real = places < lengths[:, None]
    flat = np.where(real, first[:, None] + places, 0)
    low, high = int(first.min()), int((first + lengths).max())
    spans = windows.spans[2 * low : 2 * high].reshape(-1, 2)
    real &= (spans[:, 1] > spans[:, 0])[np.where(real, flat - low, 0)]
    starts, ends = (
        np.where(real, logits[flat], -np.inf).astype(np.float32)
        for logits in (start_logits, end_logits)
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
