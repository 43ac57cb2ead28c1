"""Causal language modeling: every token of running text foretold from those before it."""

from __future__ import annotations

from limbeck.config.recipe import DataConfig
from limbeck.data.prose import Reading
from limbeck.tasks.language_modeling import LanguageModeling
from limbeck.tasks.task import ClassifierHead


class CausalLanguageModeling(LanguageModeling):
    """The next token."""

    name = "causal_language_modeling"
    score_name = "1/perplexity"
    head: ClassifierHead = "causal_lm"
    pipeline = "text-generation"
    asking = Reading("next")
    perplexity = "perplexity"

    def reading(self, data: DataConfig) -> Reading:
        """All but a text's first."""
        return Reading("before")
