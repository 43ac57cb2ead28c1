"""Masked language modeling: hidden tokens of running text foretold from all others."""

from __future__ import annotations

from limbeck.config.recipe import DataConfig
from limbeck.data.prose import Reading
from limbeck.tasks.language_modeling import LanguageModeling
from limbeck.tasks.task import ClassifierHead


class MaskedLanguageModeling(LanguageModeling):
    """Hidden tokens.

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
    head: ClassifierHead = "masked_lm"
    pipeline = "fill-mask"
    asking = Reading("gaps")
    perplexity = "pseudo_perplexity"

    def reading(self, data: DataConfig) -> Reading:
        """A share of each block, decided by seed, text and block."""
        return Reading("around", data.mask_share, data.mask_copies, data.mask_seed)
