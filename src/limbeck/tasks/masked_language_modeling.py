"""Masked language modeling: hidden tokens of running text foretold from all others."""

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


class MaskedLanguageModeling:
    """Hidden tokens, by 1 / pseudo-perplexity: the geometric mean of what they were given.

    A share of each block's tokens is hidden at once, always the same ones, and all of them by the
    mask token. BERT shows a fifth of them (half under another token) so that its states may serve
    texts without masks; here the distribution is what is learned, and a token that is shown, or
    under another, asks another question.

    Reference:
        Salazar, Liang, Nguyen, Kirchhoff. Masked Language Model Scoring, 2020, section 2
        (pseudo-perplexity). https://arxiv.org/abs/1910.14659
        Ours: they hide one token at a time, with all others shown; a share at once takes one pass
        where they take one a token, and is harder, so that figures are above theirs.
        Devlin, Chang, Lee, Toutanova. BERT, 2019, section 3.1. https://arxiv.org/abs/1810.04805
    """

    name = "masked_language_modeling"
    score_name = "1/pseudo-perplexity"
    reads: Reads = "prose"
    head: ClassifierHead = "masked_lm"
    problem_type: ProblemType | None = None
    pipeline = "fill-mask"
    distributes = True
    apart = False
    statistic = staticmethod(of_sums(foretelling.inverse_perplexity))
    asking = Reading("gaps")
    """How a text is read that is only asked about."""

    def reading(self, data: DataConfig) -> Reading:
        """Which tokens are hidden."""
        return Reading("around", data.mask_share, data.mask_copies, data.mask_seed)

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
        """Pseudo-perplexity, nats a hidden token, and how often the likeliest one is right."""
        sums = foretelling.sums_of(outputs).sum(axis=0)
        others = foretelling.figures(outputs, foretelling.rightly_told(outputs))
        return Measures({"pseudo_perplexity": float(perplexity(sums)), **others})

    def changed(self, outputs: WordOutputs, others: WordOutputs) -> np.ndarray:
        """The share of each text's hidden tokens for which another is thought likeliest."""
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
