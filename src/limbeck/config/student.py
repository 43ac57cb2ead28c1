"""The student that a recipe asks for."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from limbeck.config.budget import Budget, Runtime, RuntimeOrAuto, parse_budget
from limbeck.config.schedule import Strict
from limbeck.config.shapes import SHAPES, Architecture
from limbeck.errors import RecipeError, nearest

Share = Annotated[float, Field(ge=0, le=1)]
_OWN_KEYS: dict[str, tuple[Architecture, ...]] = {
    "embedding": ("albert", "mobilebert"),
    "bottleneck": ("mobilebert",),
    "feed_forwards": ("mobilebert",),
    "normalization": ("mobilebert",),
}
"""Keys of `student` that say something about some architectures alone."""
_OF_LAYERS: dict[str, Any] = {
    "shape": None,
    "layers": None,
    "from_layers": None,
    "heads": None,
    "intermediate": None,
    "dropout": 0.0,
}
"""Keys that say something about layers alone, and what leaves them unsaid."""


_NOT_BESIDE_A_BUDGET: dict[str, Any] = {
    "architecture": "same",
    "shape": None,
    "hidden": None,
    "heads": None,
    "intermediate": None,
    "checkpoint": None,
    "tokenizer": None,
    "init": "teacher",
}
"""Keys that make another student than one cut to a budget, and what leaves them unsaid."""


class CutConfig(Strict):
    """One more cut: what stays, a layer on average. None keeps what there is."""

    heads: PositiveInt | None = None
    neurons: PositiveInt | None = None


class PruningConfig(Strict):
    """Heads and neurons that are taken out of the student, and trained around."""

    heads: PositiveInt | None = Field(
        default=None,
        description="Attention heads that stay, a layer on average; each layer keeps those that "
        "the distillation loss hangs on most, so layers may keep different numbers.",
    )
    neurons: PositiveInt | None = Field(
        default=None, description="Feed-forward neurons that stay, likewise."
    )
    embedding_rank: PositiveInt | None = Field(
        default=None,
        description="Word embeddings as a product of a table this wide and a map to the hidden "
        "width, fitted to the texts' tokens; one whole table when not given.",
    )
    compensate: bool = Field(
        default=False,
        description="Refit, by least squares, what is left of a layer to what the layer gave, "
        "where the distillation loss falls by it. It saves training, and measured worse after "
        "four passes of it.",
    )
    by: Literal["loss", "chance"] = Field(
        default="loss",
        description="What says which heads and neurons go: what the loss hangs on least, or the "
        "seed alone, to see what that choice buys.",
    )
    rounds: PositiveInt = Field(
        default=1, description="1 takes them out in one shot; more in steps, with training between."
    )
    epochs: PositiveInt = Field(
        default=1,
        description="Passes over the texts before each round: what is judged must be what the "
        "student has learned. `training.epochs` follow after the last.",
    )
    again: tuple[CutConfig, ...] = Field(
        default=(),
        description="More cuts after the last training, `{heads: 2, neurons: 64}`, with "
        "`training.epochs` after each; a run that missed its budget writes them.",
    )

    @property
    def wanted(self) -> bool:
        """Whether anything is to be taken out."""
        left = (self.left.heads, self.left.neurons, self.embedding_rank)
        return any(one is not None for one in left)

    @property
    def left(self) -> CutConfig:
        """What stays in the end."""
        cuts = [CutConfig(heads=self.heads, neurons=self.neurons), *self.again]
        heads = [cut.heads for cut in cuts if cut.heads is not None]
        neurons = [cut.neurons for cut in cuts if cut.neurons is not None]
        return CutConfig(
            heads=heads[-1] if heads else None, neurons=neurons[-1] if neurons else None
        )

    @model_validator(mode="after")
    def _falling(self) -> Self:
        cuts = [CutConfig(heads=self.heads, neurons=self.neurons), *self.again]
        for key in ("heads", "neurons"):
            counts = [getattr(cut, key) for cut in cuts if getattr(cut, key) is not None]
            if counts != sorted(counts, reverse=True):
                raise ValueError(
                    f"{key} of a cut and those after it are {counts}; what was taken out does not "
                    "come back, so that each must leave no more than the one before"
                )
        return self


class PlannedConfig(Strict):
    """What the student of a budget was predicted to cost, by what this machine measured."""

    runtime: Runtime = Field(description="The export that the budget was planned for.")
    latency_ms: PositiveFloat = Field(description="Median of single texts, tokenizer included.")
    texts_per_s: PositiveFloat = Field(description="In bulk.")
    size_mb: PositiveFloat = Field(description="Of the exported file, 10^6 bytes.")
    corrections: NonNegativeInt = Field(
        default=0,
        description="How often the run may still prune on if the budget is missed; 0 at its end.",
    )


class TokenizerConfig(Strict):
    """A tokenizer that is learned from the training texts."""

    kind: Literal["wordpiece", "bpe"] = Field(
        default="wordpiece",
        description="wordpiece cuts words as BERT's does; bpe works on bytes, as RoBERTa's and "
        "GPT-2's do, and knows every character.",
    )
    size: PositiveInt = Field(
        default=8000, description="The most tokens, special ones and single characters counted."
    )
    lowercase: bool | None = Field(
        default=None, description="Whether case is lost; as the teacher's does when not given."
    )


class StudentConfig(Strict):
    """The model to make: cut out of the teacher unless it says otherwise."""

    architecture: Architecture = Field(
        default="same",
        description="Of the student: its teacher's, or one that transformers loads as such. "
        "distilbert has no token types and no pooler, albert one set of weights for all its "
        "layers and factorized embeddings, mobilebert thin layers inside a wide stream. static is "
        "a table of token vectors and their mean (sentence_embeddings).",
    )
    shape: str | None = Field(default=None, description="A named shape: " + ", ".join(SHAPES) + ".")
    layers: PositiveInt | None = Field(
        default=None,
        description="Half the teacher's when not given; all of them for mobilebert, whose layers "
        "are thin instead. For albert: how often the one layer is applied.",
    )
    from_layers: tuple[int, ...] | None = Field(
        default=None,
        alias="from",
        description="Teacher layers to take, from 1; evenly spread by default. For albert: the "
        "layers whose mean is shared; the first by default.",
    )
    hidden: PositiveInt | None = Field(
        default=None,
        description="Width; the teacher's by default. Of static: of the token vectors, and so of "
        "what it gives.",
    )
    heads: PositiveInt | None = Field(
        default=None, description="Attention heads; keeps the head size."
    )
    intermediate: PositiveInt | None = Field(
        default=None, description="Feed-forward neurons a layer."
    )
    embedding: PositiveInt | None = Field(
        default=None,
        description="Width of the word embeddings of albert and mobilebert; 128 when not given, "
        "or half of hidden where that is less.",
    )
    bottleneck: PositiveInt | None = Field(
        default=None,
        description="Width inside mobilebert's layers; a quarter of hidden when not given.",
    )
    feed_forwards: PositiveInt | None = Field(
        default=None,
        description="Feed-forward networks in each of mobilebert's layers; 4 when not given.",
    )
    normalization: Literal["no_norm", "layer_norm"] | None = Field(
        default=None,
        description="What mobilebert normalizes by; no_norm, a scale and a shift, when not given.",
    )
    vectors: Literal["teacher", "own"] = Field(
        default="teacher",
        description="sentence_embeddings: vectors as wide as the teacher's (by a linear layer at "
        "the end, where hidden is another), or as wide as hidden.",
    )
    pruning: PruningConfig = Field(default_factory=lambda: PruningConfig())
    vocabulary: Literal["full", "trim"] = Field(
        default="full", description="trim keeps the tokens that the training texts need."
    )
    tokenizer: TokenizerConfig | None = Field(
        default=None,
        description="Learn one of the student's own from the training texts; the teacher's when "
        "not given ([vocabularies](vocabularies.md)).",
    )
    unaligned_limit: Share = Field(
        default=0.05,
        description="Largest share of tokens that may have none of the other side, where the "
        "teacher's knowledge of single tokens is carried over to a student with other tokens.",
    )
    budget: str | None = Field(
        default=None,
        description="What the student may cost, such as `latency<=0.6ms size<=6MB`: layers, "
        "heads, neurons and vocabulary are then chosen by what this machine measures, but for "
        "layers, from and vocabulary where they are given ([budgets](budgets.md)).",
    )
    budget_runtime: RuntimeOrAuto = Field(
        default="auto",
        description="The export that is to meet the budget; auto takes the one that leaves the "
        "student most.",
    )
    planned: PlannedConfig | None = Field(
        default=None,
        description="Written by a run with a budget, beside the layers, pruning and vocabulary "
        "that it chose, which then stand; delete it to have them chosen anew.",
    )
    init: Literal["teacher", "normal", "xavier", "kaiming"] = Field(
        default="teacher", description="Where the weights come from."
    )
    checkpoint: str | None = Field(
        default=None, description="A folder or hub name of a student to start from instead."
    )
    dropout: Share = Field(
        default=0.0, description="Of hidden states and attention while training."
    )

    @field_validator("from_layers", mode="before")
    @classmethod
    def _layers_from_text(cls, value: Any) -> Any:
        if isinstance(value, int):
            return (value,)
        if isinstance(value, str):
            parts = [part.strip() for part in value.split(",") if part.strip()]
            if not all(part.isdecimal() for part in parts):
                raise ValueError(f"{value!r} is no list of layers; write numbers, such as 1,3,5")
            return tuple(int(part) for part in parts)
        return value

    @field_validator("budget")
    @classmethod
    def _budget_understood(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_budget(value)
            except RecipeError as error:
                stop = "" if error.found.endswith(("?", ".")) else "."
                raise ValueError(f"{error.found}{stop} {error.remedy}") from None
        return value

    @model_validator(mode="before")
    @classmethod
    def _shapes_have_architectures(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "architecture" in values:
            return values
        shape = SHAPES.get(str(values.get("shape")))
        return values if shape is None else {**values, "architecture": shape.architecture}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.shape is not None and self.shape not in SHAPES:
            raise ValueError(
                f"there is no shape {self.shape!r}.{nearest(self.shape, SHAPES)} "
                f"Use one of {', '.join(SHAPES)}"
            )
        self._check_architecture()
        self._check_tokenizer()
        if self.budget is not None:
            self._check_budget(self.budget)
        elif self.planned is not None or self.budget_runtime != "auto":
            raise ValueError(
                "planned and budget_runtime belong to a budget, and there is none; delete them, or "
                "give budget"
            )
        shared = self.architecture == "albert"
        fitting = shared or self.layers in (None, len(self.from_layers or ()))
        if self.from_layers is not None and not fitting:
            raise ValueError(
                f"layers is {self.layers} but from names {len(self.from_layers)} layers "
                f"{list(self.from_layers)}; delete one of the two or make them agree"
            )
        return self

    def _check_architecture(self) -> None:
        ours = self.architecture
        for key, owners in _OWN_KEYS.items():
            if getattr(self, key) is not None and ours not in owners:
                raise ValueError(
                    f"{key} is set, which says something about {' and '.join(owners)} alone, but "
                    f"architecture is {ours}; delete {key}, or set architecture"
                )
        if ours == "static":
            self._check_layerless()
        shape = SHAPES[self.shape].architecture if self.shape else "same"
        if shape not in ("same", ours):
            raise ValueError(
                f"the shape {self.shape!r} is one of {shape}, but architecture is {ours}; delete "
                "one of the two"
            )
        if self.checkpoint is not None and ours != "same":
            raise ValueError(
                f"architecture is {ours}, but a student from a checkpoint keeps its own; delete "
                "architecture, or checkpoint"
            )
        if self.from_layers is not None and ours == "mobilebert":
            raise ValueError(
                "from names layers to take, but mobilebert's are of another kind and are made "
                "anew; delete from"
            )

    def _check_tokenizer(self) -> None:
        if self.tokenizer is None:
            return
        if self.vocabulary == "trim":
            raise ValueError(
                "tokenizer learns a new vocabulary, and vocabulary: trim keeps a part of the "
                "teacher's; delete one of the two"
            )
        if self.checkpoint is not None:
            raise ValueError(
                f"tokenizer is set, but a student from a checkpoint ({self.checkpoint}) keeps its "
                "own; delete one of the two"
            )

    def _check_layerless(self) -> None:
        said = [key for key, unsaid in _OF_LAYERS.items() if getattr(self, key) != unsaid]
        said += ["pruning"] if self.pruning.wanted else []
        if said:
            keys = " and ".join(key.removesuffix("_layers") for key in said)
            raise ValueError(
                f"{keys} is about layers, but architecture is static, which has none; delete "
                f"{keys}, or architecture"
            )

    @property
    def open_budget(self) -> bool:
        """Whether there is a budget that a structure is to be planned for, and none was."""
        return self.budget is not None and self.planned is None and self.keeps is None

    @property
    def keeps(self) -> float | None:
        """The share of the teacher's score that a budget of nothing else asks for, 0 to 1."""
        if self.budget is None:
            return None
        budget = parse_budget(self.budget)
        return budget.retention if budget == Budget(retention=budget.retention) else None

    def _check_budget(self, budget: str) -> None:
        if self.planned is not None:
            return
        for key, value in self.pruning.left:
            if value is not None:
                raise ValueError(
                    f"pruning.{key} is {value}, but the budget {budget!r} chooses how many "
                    f"{key} stay; delete one of the two"
                )
        for key, default in _NOT_BESIDE_A_BUDGET.items():
            value = getattr(self, key)
            if value != default:
                raise ValueError(
                    f"{key} is {value}, but a budget ({budget!r}) is met by layers, heads and "
                    f"neurons cut out of the teacher as it is; delete {key}, or budget"
                )
