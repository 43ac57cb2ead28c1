"""Answers with a run's fastest accepted export, as `limbeck predict` does."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.config.recipe import CleanConfig
from limbeck.data import likely
from limbeck.data.asked import Asked
from limbeck.data.candidates import Candidates
from limbeck.data.clean import cleaner
from limbeck.data.per_query import RankOutputs
from limbeck.data.per_question import SpanAnswers
from limbeck.data.per_word import Outputs, WordOutputs
from limbeck.data.prose import Prose
from limbeck.data.texts import Item, sides
from limbeck.data.worded import WordedText, worded
from limbeck.errors import ExportError
from limbeck.files import read_json
from limbeck.runtime.answerer import Answerer
from limbeck.runtime.bulk import WINDOW, answer_windows
from limbeck.runtime.load import load_export
from limbeck.tasks.causal_language_modeling import CausalLanguageModeling
from limbeck.tasks.language_modeling import LanguageModeling
from limbeck.tasks.question_answering import QuestionAnswering
from limbeck.tasks.settling import task_from
from limbeck.tasks.token_classification import Found, entities_said

_ONE_BATCH = 32
"""So few texts go through as one batch, as a service wants that gathers requests."""


@dataclass(frozen=True)
class Prediction:
    """An answer to one text, pair of texts, question about a text, or query with candidates.

    Attributes:
        label: In words: the likeliest class, the classes that apply, the number, the first
            numbers of a vector, the piece of the context that answers ("" where none does), or the
            best candidate.
        probability: How sure that is, 0 to 1; None of a number.
        probabilities: Every class's; of a regression its number and of a sentence embedding the
            numbers of its vector, by their places, which are no probabilities; empty where words
            or questions are answered.
        entities: Where words are answered: the entities of the text, in its order.
        span: Where questions are answered: the answer's first character in the context, and the
            one after its last; None where the context does not answer.
        scores: Where candidates are ranked: each one's, in their order.
        ranks: Likewise: each one's place, from 1 for the best, which `label` is.
        foretold: Of a language model: how well the text was foretold, and its likeliest tokens.
    """

    label: str
    probability: float | None
    probabilities: dict[str, float]
    entities: tuple[Found, ...] = ()
    span: tuple[int, int] | None = None
    scores: tuple[float, ...] = ()
    ranks: tuple[int, ...] = ()
    foretold: Foretold | None = None


@dataclass(frozen=True)
class Likely:
    """A token that a language model thinks likely.

    Attributes:
        token: As text, with the space in front that is a part of it.
        probability: From 0 to 1.
    """

    token: str
    probability: float


@dataclass(frozen=True)
class Foretold:
    """What a language model says of a text.

    Attributes:
        perplexity: Of the text, a token; None where nothing of it was to be foretold.
        tokens: How many of its tokens were.
        likely: At every gap (masked), or behind the text (causal), the likeliest tokens first.
    """

    perplexity: float | None
    tokens: int
    likely: tuple[tuple[Likely, ...], ...]


class Predictor:
    """A finished run, ready to answer.

    It cleans texts as training did, and takes the runtime that the gate found fastest: for
    single texts, or for many at a time. Probabilities of an int8 export in bulk depend a little
    on the texts that share a batch (`OnnxAnswerer`); identical texts within a window are answered
    once, and so alike.

    Args:
        run: The run's folder.
        bulk: Choose and load the runtime for throughput instead of single-text latency.

    Raises:
        ExportError: If the folder holds no finished run, or its runtime is not installed.
    """

    def __init__(self, run: str | Path, *, bulk: bool = False) -> None:
        folder = Path(run)
        gate = folder / "export" / "gate.json"
        if not gate.exists():
            raise ExportError(
                str(folder),
                "this folder holds no finished run (no export/gate.json)",
                "Name the output folder of a `limbeck distill` that ended, or give its command "
                "again to finish it.",
            )
        facts = read_json(folder / "export" / "limbeck.json")
        self.labels: list[str] = facts["labels"]
        self.task = task_from(facts)
        self.paired: bool | None = False if self.task.apart else facts.get("pairs")
        self._clean = cleaner(CleanConfig(**facts["clean"]))
        self._bulk = bulk
        verdict = read_json(gate)
        self.runtime: str = verdict["best_bulk" if bulk else "best_single"] or "transformers"
        self._answerer = _load(folder, self.runtime, verdict, facts["max_tokens"], bulk=bulk)

    def predict(self, texts: Sequence[Item]) -> list[Prediction]:
        """One prediction a text, in order.

        Raises:
            ExportError: For a text that is empty after cleaning, or a single text where pairs
                were learned (and the reverse); none is answered then.
        """
        cleaned = self._cleaned(texts, before=0)
        if 0 < len(cleaned) <= _ONE_BATCH and not self._bulk:
            return self._predictions(cleaned, self.task.answers(self._answerer.logits(cleaned)))
        parts = (cleaned[start : start + WINDOW] for start in range(0, len(cleaned), WINDOW))
        return [one for part in self._answered(parts) for one in self._predictions(*part)]

    def stream(self, texts: Iterable[Item], *, size: int = WINDOW) -> Iterator[Prediction]:
        """Predictions of any number of texts, in order, a few times `size` of them in memory.

        Args:
            texts: Read in this thread, up to 2 * `size` texts ahead of what is yielded.
            size: Texts that are sorted by length together.

        Raises:
            ExportError: For a text that is empty after cleaning, with its number in the stream;
                the predictions of all windows before have been yielded then.
        """
        for part in self._answered(self._windows(texts, size)):
            yield from self._predictions(*part)

    def stream_probabilities(
        self, texts: Iterable[Item], *, size: int = WINDOW
    ) -> Iterator[Outputs]:
        """Like `stream`, as arrays [texts, classes] of `size` texts: for programs.

        Of a regression these are its numbers, of sentence embeddings the vectors; where words are
        answered they are `WordOutputs`, of questions `SpanAnswers`, of queries `RankOutputs`.
        """
        for _, answers in self._answered(self._windows(texts, size)):
            yield answers

    def _windows(self, texts: Iterable[Item], size: int) -> Iterator[list[Item]]:
        texts, before = iter(texts), 0
        while part := list(islice(texts, size)):
            yield self._cleaned(part, before=before)
            before += len(part)

    def _cleaned(self, texts: Sequence[Item], *, before: int) -> list[Item]:
        cleaned: list[Item] = []
        for place, item in enumerate(texts):
            if self.task.reads == "queries":
                item = _as_candidates(item, before + place + 1)
            self._refuse_other_kind(item, before + place + 1)
            parts = [self._clean(part) for part in sides(item)]
            if not all(part.strip() for part in parts):
                raise ExportError(
                    f"text {before + place + 1}",
                    "it is empty" if isinstance(item, str) else f"one of its texts is: {item!r}",
                    "Give texts with a visible character.",
                )
            cleaned.append(self._asked(item, parts))
        return cleaned

    def _refuse_other_kind(self, item: Item, number: int) -> None:
        if self.paired is None or self.paired != isinstance(item, str):
            return
        kinds = {True: "pairs of texts", False: "single texts"}
        raise ExportError(
            f"text {number}",
            f"it is one of {kinds[not self.paired]}, but the model was trained on "
            f"{kinds[self.paired]}",
            "Give (first, second) for each." if self.paired else "Give one string for each.",
        )

    def _asked(self, item: Item, parts: Sequence[str]) -> Item:
        """The cleaned texts as the model is asked: with their words where those are answered."""
        if isinstance(self.task, QuestionAnswering):
            return Asked(parts[0], parts[1], self.task.windowing)
        if isinstance(item, Candidates):
            return Candidates(parts[0], tuple(parts[1:]))
        if isinstance(self.task, LanguageModeling):
            return Prose(parts[0], self.task.asking)
        if self.task.reads == "words":
            as_given = isinstance(item, WordedText) and parts[0] == item.text
            return item if as_given else worded(parts[0])
        return parts[0] if len(parts) == 1 else (parts[0], parts[1])

    def _answered(self, windows: Iterable[list[Item]]) -> Iterator[tuple[list[Item], Outputs]]:
        """Each window with the task's answers; each of its distinct texts is answered once."""
        places: deque[list[int]] = deque()
        asked: deque[list[Item]] = deque()

        def distinct() -> Iterator[list[Item]]:
            for window in windows:
                known: dict[Item, int] = {}
                asked.append(window)
                places.append([known.setdefault(text, len(known)) for text in window])
                yield list(known)

        for logits in answer_windows(self._answerer, distinct()):
            yield asked.popleft(), self.task.answers(logits)[places.popleft()]

    def _predictions(self, items: Sequence[Item], answers: Outputs) -> list[Prediction]:
        found = []
        if self.task.reads == "words":
            return [self._of_words(item, answers[row]) for row, item in enumerate(items)]
        if self.task.reads == "prose":
            return [self._of_prose(answers[row]) for row in range(len(items))]
        if isinstance(answers, SpanAnswers):
            return [_of_question(item, answers[row]) for row, item in enumerate(items)]
        if isinstance(answers, RankOutputs):
            each = zip(items, answers.each(), strict=True)
            return [_of_query(item, scores) for item, scores in each]
        for row, values in zip(answers, answers.tolist(), strict=True):
            said = self.task.said(row, self.labels)
            named = dict(zip(self.labels, values, strict=True))
            found.append(Prediction(said.words, said.probability, named))
        return found

    def _of_prose(self, answer: WordOutputs) -> Prediction:
        """Places of which nobody knows the token are gaps; all others say how likely the text is.

        Raises:
            ExportError: For a text without a gap, where gaps are to be filled.
        """
        values = answer.values
        gaps = np.arange(len(values))
        if isinstance(self.task, CausalLanguageModeling):
            gaps = gaps[-1:]
        known = len(values) - len(gaps)
        perplexity = None
        if known:
            perplexity = float(np.exp(-likely.log_probabilities(values)[:known].mean()))
        found = tuple(self._likely(values[gap : gap + 1]) for gap in gaps)
        words = " ".join(one[0].token.strip() for one in found)
        sure = min((one[0].probability for one in found), default=None)
        return Prediction(words, sure, {}, foretold=Foretold(perplexity, known, found))

    def _likely(self, values: np.ndarray) -> tuple[Likely, ...]:
        """The likeliest tokens at a place."""
        tokens = self._answerer.spelled(likely.ids(values)[0].tolist())
        shares = np.exp(likely.likely_log_probabilities(values)[0]).tolist()
        return tuple(map(Likely, tokens, shares))

    def _of_words(self, item: Item, answer: WordOutputs) -> Prediction:
        assert isinstance(item, WordedText)
        said = self.task.said(answer, self.labels)
        entities = tuple(entities_said(item, answer, self.labels))
        return Prediction(said.words, said.probability, {}, entities)


def _of_question(item: Item, answer: SpanAnswers) -> Prediction:
    assert isinstance(item, Asked)
    [(start, end)], [probability] = answer.spans.tolist(), answer.probabilities.tolist()
    if start < 0:
        return Prediction("", probability, {})
    return Prediction(item.context[start:end], probability, {}, span=(start, end))


def _as_candidates(item: Any, number: int) -> Candidates:
    """A query with its candidates, also where it is given as (query, passages)."""
    if isinstance(item, Candidates):
        return item
    if isinstance(item, tuple) and len(item) == 2:
        query, passages = item
        if isinstance(query, str) and isinstance(passages, list | tuple) and passages:
            return Candidates(query, tuple(passages))
    raise ExportError(
        f"text {number}",
        f"it is {item!r}, but the model ranks the candidates of a query",
        "Give (query, [passage, …]) for each, with at least one passage.",
    )


def ranks_of(scores: np.ndarray) -> np.ndarray:
    """The place of each candidate, from 1 for the highest score; of equal ones the first leads."""
    places = np.empty(len(scores), dtype=np.int64)
    places[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return places


def _of_query(item: Item, scores: np.ndarray) -> Prediction:
    assert isinstance(item, Candidates)
    best = item.passages[int(scores.argmax())]
    ranks = tuple(ranks_of(scores).tolist())
    return Prediction(best, None, {}, scores=tuple(scores.tolist()), ranks=ranks)


def _load(folder: Path, runtime: str, verdict: dict, max_tokens: int, *, bulk: bool) -> Answerer:
    if runtime == "transformers":
        from limbeck.runtime.transformers_model import from_folder

        return from_folder(str(folder / "student"), max_tokens=max_tokens)
    file = next(entry["file"] for entry in verdict["exports"] if entry["name"] == runtime)
    return load_export(runtime, folder / "export" / file, bulk=bulk)
