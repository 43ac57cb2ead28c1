"""The terms that an objective can be made of; `training.losses` says what each computes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from limbeck.config.schedule import Adaptive, Finite, Number, Strict, smallest

LayerMapRule = Literal[
    "uniform", "uniform_and_embeddings", "skip", "first", "last", "last_alone", "random", "learned",
]  # fmt: skip
LayerMap = dict[int, int] | LayerMapRule
"""Student layers to teacher layers, counted from 1 (0 is the embedding output), or a rule: spread
evenly, with the embedding output or without the last layer; the teacher's first or last ones; the
last to the last alone; drawn anew each step; or by optimal transport in each step."""

Examples = Literal["equal", "teacher_entropy", "teacher_correctness", "student_entropy"]


class HardTerm(Strict):
    """Cross-entropy to the labels, over the labelled rows of a batch."""

    kind: Literal["hard"] = "hard"
    weight: Number = Field(default=0.1, description="Of this term in the sum; may be a schedule.")


class LogitsTerm(Strict):
    """The distance between the student's and the teacher's class distributions."""

    kind: Literal["logits"] = "logits"
    weight: Number = Field(default=0.9, description="Of this term in the sum; may be a schedule.")
    divergence: Literal[
        "kl", "cross_entropy", "reverse_kl", "jensen_shannon", "skewed_kl", "skewed_reverse_kl",
        "decoupled", "correlation", "margin_mse",
    ] = Field(default="kl", description="Which distance; see the page of methods.")  # fmt: skip
    temperature: Number | Adaptive = Field(
        default=2.0,
        description="Softens both; may be a schedule, or `{shape: adaptive}`: a row's own.",
    )
    standardize: bool = Field(
        default=False,
        description="Bring each row's logits to a spread of 1 first, on both sides, so that the "
        "teacher's scale need not be learned; for three classes and more.",
    )
    skew: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="skewed_kl, skewed_reverse_kl: share of the other side mixed in."
    )
    target: Finite = Field(default=1.0, description="decoupled: weight of the target class.")
    others: Finite = Field(default=4.0, description="decoupled: weight of the other classes.")
    by_row: Finite = Field(default=1.0, description="correlation: weight of that across classes.")
    by_class: Finite = Field(default=1.0, description="correlation: weight of that across rows.")
    examples: Examples = Field(
        default="equal",
        description="Which rows count more: those of which the teacher is sure, those where it is "
        "right, or those of which the student is unsure.",
    )

    @field_validator("temperature", mode="before")
    @classmethod
    def _adaptive_alone(cls, value: Any) -> Any:
        return {"shape": "adaptive"} if value == "adaptive" else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        adaptive = isinstance(self.temperature, Adaptive)
        if not isinstance(self.temperature, Adaptive) and smallest(self.temperature) <= 0:
            raise ValueError(
                "temperature must be above 0 at every step; use 1 for the models' own probabilities"
            )
        if self.divergence == "correlation" and (adaptive or self.examples != "equal"):
            raise ValueError(
                "correlation compares the rows of a batch with each other, so no row has a "
                "temperature or a weight of its own; use examples: equal and one temperature"
            )
        return self


class HiddenTerm(Strict):
    """The distance between hidden states of matched layers, over the real tokens."""

    kind: Literal["hidden"] = "hidden"
    weight: Number = Field(default=1.0, description="Of this term in the sum; may be a schedule.")
    distance: Literal["mse", "cosine", "normalized_mse"] = Field(
        default="mse", description="normalized_mse compares vectors of length 1."
    )
    tokens: Literal["all", "first"] = Field(
        default="all", description="Every real token, or the first alone ([CLS])."
    )
    layer_map: LayerMap = Field(
        default="uniform",
        description="Student layers to teacher layers (from 1; 0 is the embedding output), or "
        "uniform, uniform_and_embeddings, skip (uniform without the last), first, "
        "last, last_alone, random (drawn each step), learned (optimal transport).",
    )
    projection: bool = Field(
        default=True, description="Where widths differ, learn a map to the teacher's."
    )


class AttentionTerm(Strict):
    """The distance between attention maps of matched layers, over pairs of real tokens."""

    kind: Literal["attention"] = "attention"
    weight: Number = Field(default=1.0, description="Of this term in the sum; may be a schedule.")
    distance: Literal["score_mse", "kl"] = Field(
        default="score_mse", description="Before the softmax (TinyBERT), or KL after it (MiniLM)."
    )
    heads: Literal["auto", "each", "mean"] = Field(
        default="auto",
        description="Head by head, or the mean over each side's heads; auto takes the mean where "
        "head counts differ.",
    )
    layer_map: LayerMap = Field(default="uniform", description="As for hidden.")


class RelationsTerm(Strict):
    """KL between the token-to-token relations of queries, keys or values (MiniLM)."""

    kind: Literal["relations"] = "relations"
    weight: Number = Field(default=1.0, description="Of this term in the sum; may be a schedule.")
    of: tuple[Literal["queries", "keys", "values"], ...] = Field(
        default=("queries", "keys", "values"), min_length=1, description="Whose relations."
    )
    heads: PositiveInt | None = Field(
        default=None,
        description="Relation heads, free of both models' own; the student's count by default.",
    )
    layer_map: LayerMap = Field(
        default="last_alone", description="As for hidden; last_alone is the last to the last."
    )


class SimilarityTerm(Strict):
    """How the rows of a batch lie to each other: needs no equal widths."""

    kind: Literal["similarity"] = "similarity"
    weight: Number = Field(default=1.0, description="Of this term in the sum; may be a schedule.")
    of: Literal["similarity_preserving", "distance", "angle", "contrastive"] = Field(
        default="similarity_preserving",
        description="Gram matrices, distances or angles between rows, or each row to its own "
        "teacher vector against the others'.",
    )
    pooled: Literal["first", "mean"] = Field(
        default="mean", description="A row's vector: its first token's state, or the mean."
    )
    temperature: PositiveFloat = Field(default=0.1, description="Of contrastive alone.")
    layer_map: LayerMap = Field(
        default="last_alone", description="As for hidden; last_alone is the last to the last."
    )


class VectorsTerm(Strict):
    """The distance between the student's and the teacher's vectors of texts."""

    kind: Literal["vectors"] = "vectors"
    weight: Number = Field(default=1.0, description="Of this term in the sum; may be a schedule.")
    distance: Literal["cosine", "mse", "similarity"] = Field(
        default="cosine",
        description="Number by number, or similarity: whether each text finds the same neighbors "
        "in its batch, which needs no equal widths.",
    )
    temperature: PositiveFloat = Field(
        default=0.05, description="similarity: the smaller, the more the nearest texts count."
    )
    prefixes: tuple[PositiveInt, ...] = Field(
        default=(),
        description="similarity: how many of a vector's first numbers are to do alone, beside the "
        "whole vector (Matryoshka); rising.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.prefixes and self.distance != "similarity":
            raise ValueError(
                f"prefixes is set, but {self.distance} compares number by number, and the first "
                "numbers of the teacher's vectors mean nothing alone; set distance: similarity"
            )
        if list(self.prefixes) != sorted(set(self.prefixes)):
            raise ValueError(f"prefixes is {list(self.prefixes)}; write each once, rising")
        return self


class ExitsTerm(Strict):
    """Self-distillation: the student's last layer teaches classifiers on its earlier layers."""

    kind: Literal["exits"] = "exits"
    weight: Number = Field(default=1.0, description="Of this term in the sum; may be a schedule.")
    layers: tuple[PositiveInt, ...] | None = Field(
        default=None, description="Which layers get a classifier; all but the last by default."
    )
    temperature: PositiveFloat = Field(default=2.0, description="Of the last layer's answer.")
    hard: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="Share of the labels in what an exit learns; the rest is soft."
    )


Term = Annotated[
    HardTerm
    | LogitsTerm
    | VectorsTerm
    | HiddenTerm
    | AttentionTerm
    | RelationsTerm
    | SimilarityTerm
    | ExitsTerm,
    Field(discriminator="kind"),
]
TERMS = (
    HardTerm, LogitsTerm, VectorsTerm, HiddenTerm, AttentionTerm, RelationsTerm, SimilarityTerm,
    ExitsTerm,
)  # fmt: skip
"""Every kind of term, in the order of the documentation."""
