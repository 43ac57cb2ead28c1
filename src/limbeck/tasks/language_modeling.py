"""What both language modeling tasks are: tokens of running text foretold, and judged alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import DataConfig
from limbeck.config.terms import LogitsTerm
from limbeck.data.per_word import WordOutputs
from limbeck.data.prose import Reading
from limbeck.data.raw_labels import LabelForm, one_label
from limbeck.data.texts import UNLABELLED, Item, Texts
from limbeck.metrics.drawn import of_sums
from limbeck.metrics.language_modeling import perplexity
from limbeck.tasks import foretelling
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.tasks.task import ClassifierHead, Measures, ProblemType, Reads, Said

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.data.layout import Layout


class LanguageModeling:
    """Tokens, by 1 / perplexity: the geometric mean of what they were thought to be likely.

    More is better, and a ratio of two of them is the ratio of the perplexities. Accuracy would not
    do: a student may name the same likeliest tokens and be far too sure of them.

    Attributes:
        asking: How a text is read that is only asked about.
        perplexity: What the inverse of the score is called.
    """

    name: str
    score_name: str
    reads: Reads = "prose"
    head: ClassifierHead
    problem_type: ProblemType | None = None
    pipeline: str
    distributes = True
    apart = False
    statistic = staticmethod(of_sums(foretelling.inverse_perplexity))
    asking: Reading
    perplexity: str

    def reading(self, data: DataConfig) -> Reading:
        """Which tokens of the run's texts are foretold."""
        raise NotImplementedError

    def form(self, data: DataConfig) -> LabelForm:
        """Of no use: texts say themselves what is to be foretold (`tasks.reading`)."""
        return LabelForm((), one_label)

    def names(
        self, texts: Texts, data: DataConfig, teacher: Sequence[str] | None, source: str
    ) -> list[str]:
        """None: the outputs are the tokenizer's tokens."""
        return []

    def targets(
        self, texts: Texts, names: Sequence[str], *, source: str, beside: Sequence[Texts] = ()
    ) -> np.ndarray:
        """0 for each text that is learned from, -100 for one that only the teacher is asked about.

        The tokens themselves are known once texts are cut into blocks (`data.targets.row_targets`).
        """
        return np.where(texts.codes >= 0, 0, UNLABELLED).astype(np.int64)

    def refuse_unlearnable(self, targets: np.ndarray, names: Sequence[str], source: str) -> None:
        """Every text has something to learn."""

    def refuse_stranger(
        self, outputs: WordOutputs, targets: np.ndarray, names: Sequence[str], *, where: str
    ) -> None:
        """Tokens are the teacher's own: they cannot be numbered otherwise."""

    def hard(self, student_logits: Tensor, targets: Tensor, layout: Layout | None = None) -> Tensor:
        """Cross-entropy of the tokens, of log-probabilities [places]."""
        from limbeck.objective.foretold import token_cross_entropy

        return token_cross_entropy(student_logits, targets)

    def soft(
        self,
        student_logits: Tensor,
        teacher_logits: Tensor,
        layout: Layout | None = None,
        *,
        temperature: float,
    ) -> Tensor:
        """KL over the teacher's likeliest tokens and the rest, at each place."""
        return SINGLE_LABEL.soft(student_logits, teacher_logits, temperature=temperature)

    def unfit(self, term: LogitsTerm) -> str:
        """What needs the same classes at every place."""
        return foretelling.unfit(term)

    def mixed(self, outputs: Tensor, weights: Tensor) -> Tensor:
        """Language models are not mixed."""
        return foretelling.only_one(outputs)

    def merit(self, outputs: WordOutputs, targets: np.ndarray) -> None:
        """The score says it: it rises with the mean log-probability."""

    def parts(self, outputs: WordOutputs, targets: np.ndarray) -> np.ndarray:
        """Each text's summed loss and its tokens: [rows, 2]."""
        return foretelling.sums_of(outputs)

    def measures(self, outputs: WordOutputs, targets: np.ndarray, names: Sequence[str]) -> Measures:
        """Perplexity, nats a token, and how often the likeliest token is right."""
        sums = foretelling.sums_of(outputs).sum(axis=0)
        others = foretelling.figures(outputs, foretelling.rightly_told(outputs))
        return Measures({self.perplexity: float(perplexity(sums)), **others})

    def changed(self, outputs: WordOutputs, others: WordOutputs) -> np.ndarray:
        """The share of each text's foretold tokens for which another is thought likeliest."""
        return foretelling.other_tokens(outputs, others)

    def alike(self, outputs: WordOutputs) -> bool:
        """Whether one token is always thought likeliest."""
        return foretelling.always_one_token(outputs)

    def distance(self, outputs: WordOutputs, others: WordOutputs) -> np.ndarray:
        """By how many nats a token the losses on a text differ."""
        return foretelling.apart(outputs, others)

    def answers(self, outputs: WordOutputs) -> WordOutputs:
        """As they are: log-probabilities and likeliest tokens."""
        return outputs

    def said(self, answer: WordOutputs, names: Sequence[str], item: Item | None = None) -> Said:
        """How well the text is foretold."""
        return foretelling.told(answer)

    def wanted(self, target: object, names: Sequence[str]) -> str:
        """The text itself."""
        return ""
