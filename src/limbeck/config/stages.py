"""What comes before a student's last training: pre-training, earlier stages, assistants."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from limbeck.config.schedule import Number, Strict, largest
from limbeck.config.terms import Term

Share = Annotated[float, Field(ge=0, le=1)]


def terms_that_say_something(terms: tuple[Term, ...] | None) -> tuple[Term, ...] | None:
    """The terms, refused where no weight is ever above 0."""
    if terms is not None and not any(largest(term.weight) > 0 for term in terms):
        raise ValueError(
            "the weights sum to 0, so nothing would be learned; give a term a weight above 0"
        )
    return terms


class Stage(Strict):
    """A training on the run's own texts before the last one, which `objective` describes."""

    name: str = Field(
        default="before",
        pattern=r"^[a-z0-9_-]+$",
        description="Of the stage, in the log and in checkpoints/.",
    )
    terms: tuple[Term, ...] = Field(min_length=1, description="As in `objective.terms`.")
    epochs: PositiveInt | None = Field(
        default=None, description="Passes over the texts; `training.epochs` by default."
    )
    learning_rate: PositiveFloat | None = Field(
        default=None, description="`training.learning_rate` by default."
    )
    replacing: Number | None = Field(
        default=None,
        description="BERT-of-Theseus: probability that a student layer stands in for its teacher "
        "layers, from 0 to 1; may be a schedule.",
    )
    layer_by_layer: bool = Field(
        default=False,
        description="One layer after the other learns, the first one first (MobileBERT); the "
        "epochs are those of all layers together.",
    )

    @field_validator("terms")
    @classmethod
    def _says_something(cls, terms: tuple[Term, ...]) -> Any:
        return terms_that_say_something(terms)

    @field_validator("replacing")
    @classmethod
    def _probability(cls, number: Number | None) -> Number | None:
        if number is not None and largest(number) > 1:
            raise ValueError(
                f"the probability of replacing reaches {largest(number)}; it is from 0 to 1"
            )
        return number


class PretrainingConfig(Strict):
    """General distillation on `data.plain`, before the task: masked words, layers, relations."""

    teacher: str | None = Field(
        default=None,
        description="A checkpoint with a masked-LM head, or an encoder without a head if no term "
        "needs one; the run's teacher by default.",
    )
    terms: tuple[Term, ...] | None = Field(
        default=None,
        description="hard is masked-LM cross-entropy, logits compares the vocabulary at masked "
        "words; without either, words are not masked. Without terms there is no pre-training.",
    )
    mask_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.15, description="Share of the tokens that are to be guessed."
    )
    epochs: PositiveInt = Field(default=1, description="Passes over the plain text.")
    learning_rate: PositiveFloat = Field(default=5e-4, description="Peak.")
    layer_by_layer: bool = Field(
        default=False, description="One layer after the other learns (MobileBERT)."
    )

    @field_validator("terms")
    @classmethod
    def _says_something(cls, terms: tuple[Term, ...] | None) -> Any:
        return terms_that_say_something(terms)


class AssistantConfig(Strict):
    """A student of the teacher that becomes the teacher of the next one."""

    layers: PositiveInt | Literal["all", "between"] = Field(
        default="between",
        description="Its layers: all of its teacher's, or halfway to the student's.",
    )
    hidden: PositiveInt | None = Field(default=None, description="Width; its teacher's by default.")
    heads: PositiveInt | None = Field(default=None, description="Attention heads.")
    intermediate: PositiveInt | None = Field(default=None, description="Feed-forward neurons.")
    init: Literal["teacher", "normal", "xavier", "kaiming"] = Field(
        default="teacher", description="Where its weights come from."
    )


class OnPolicyConfig(Strict):
    """causal_language_modeling: steps on texts that the student writes, its teacher asked live."""

    share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="Of the steps that are on the student's own texts: it writes on behind the "
        "beginnings of training texts, and terms compare what both think there. 0 for none.",
    )
    prompt_tokens: PositiveInt = Field(default=16, description="Of a text that is written on.")
    new_tokens: PositiveInt = Field(default=32, description="That the student writes.")
    temperature: PositiveFloat = Field(default=1.0, description="Of the student while it writes.")


class EnsembleConfig(Strict):
    """More teachers beside the first: their answers are mixed into one."""

    teachers: tuple[str, ...] = Field(
        default=(), description="Folders or hub names; labels are matched by name."
    )
    combine: Literal["mean", "weighted", "confidence", "domain"] = Field(
        default="mean",
        description="Mix probabilities equally, by `weights`, row by row by how right (on "
        "unlabelled rows: how sure) each teacher is, or ask each about its own domain alone.",
    )
    domains: tuple[str, ...] | None = Field(
        default=None,
        description="domain: what data.domain_column says of the first teacher's rows and of the "
        "others'. Rows of another domain, or of none, are answered by all, equally.",
    )
    weights: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] | None = Field(
        default=None, description="Of the first teacher and the others, for weighted."
    )

    @model_validator(mode="after")
    def _one_domain_each(self) -> Self:
        several, names = 1 + len(self.teachers), self.domains or ()
        right = several > 1 and len(names) == len(set(names)) == several
        if self.combine == "domain" and not right:
            raise ValueError(
                f"combine is domain and domains is {self.domains}; give each of the {several} "
                "teachers a domain of its own, that of `teacher` first, and two teachers at least"
            )
        if self.domains is not None and self.combine != "domain":
            raise ValueError(f"domains is set, but combine is {self.combine}; set combine: domain")
        return self

    @field_validator("weights")
    @classmethod
    def _sum(cls, weights: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if weights is not None and sum(weights) <= 0:
            raise ValueError(
                f"the weights {list(weights)} sum to nothing; give a teacher a weight above 0"
            )
        return weights


class AugmentConfig(Strict):
    """Altered copies of the training texts, which the teacher answers like any other text."""

    copies: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Of each training text; 0 for none."
    )
    by: Literal["words", "masked_lm"] = Field(
        default="words",
        description="words drops words, replaces them by others of the texts, and swaps "
        "neighbours. masked_lm replaces words by what a masked language model expects in their "
        "places (TinyBERT).",
    )
    masked_lm: str | None = Field(
        default=None, description="A checkpoint with a masked-LM head, for masked_lm."
    )
    candidates: PositiveInt = Field(
        default=15, description="masked_lm: words that may stand for another, the likeliest ones."
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.12,
        description="words: share of the words that are dropped, replaced and swapped, that of "
        "each of the three. masked_lm: share that is replaced, 0.4 by default.",
    )

    @model_validator(mode="before")
    @classmethod
    def _share_of_the_way(cls, tree: Any) -> Any:
        """The default share of masked_lm, which is the paper's."""
        if isinstance(tree, dict) and tree.get("by") == "masked_lm":
            return {"share": 0.4, **tree}
        return tree

    @model_validator(mode="after")
    def _asks_somebody(self) -> Self:
        if self.by == "masked_lm" and self.masked_lm is None:
            raise ValueError(
                "by is masked_lm, but masked_lm names no model, and a fine-tuned classifier has no "
                "masked-LM head. Name a checkpoint with one: the encoder that the teacher was "
                "fine-tuned from, or one that `limbeck pretrain` makes out of plain text"
            )
        if self.by == "masked_lm" and not self.copies:
            raise ValueError(
                "by is masked_lm, but copies is 0, so nothing would be asked; give a number of "
                "copies (the paper makes 20)"
            )
        if self.by == "words" and self.masked_lm is not None:
            raise ValueError(
                f"masked_lm names {self.masked_lm}, but by is words, which asks no model; set by "
                "to masked_lm"
            )
        return self
