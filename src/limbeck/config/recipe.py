"""The recipe of a run: every choice and every default, in one typed tree.

Field descriptions are the documentation of the keys; `docs/recipe.md` is written from them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from limbeck.config.evaluation import EvaluationConfig, ExportConfig
from limbeck.config.frontier import FrontierConfig
from limbeck.config.methods import method_names, with_method
from limbeck.config.parallel import ParallelConfig
from limbeck.config.schedule import Strict
from limbeck.config.stages import (
    AssistantConfig,
    AugmentConfig,
    EnsembleConfig,
    OnPolicyConfig,
    PretrainingConfig,
    Stage,
    terms_that_say_something,
)
from limbeck.config.student import StudentConfig
from limbeck.config.teacher import TeacherConfig
from limbeck.config.terms import Term
from limbeck.errors import nearest

Share = Annotated[float, Field(ge=0, le=1)]
TaskName = Literal[
    "auto", "single_label", "multi_label", "regression", "token_classification",
    "question_answering", "sentence_embeddings", "reranking", "causal_language_modeling",
    "masked_language_modeling",
]  # fmt: skip


class CleanConfig(Strict):
    """Cleaning of texts: applied before the teacher sees them, and again at prediction."""

    unicode: bool = Field(
        default=False, description="NFKC, curly quotes and mojibake mended by ftfy."
    )
    html: bool = Field(default=False, description="Tags dropped, entities decoded.")
    control: bool = Field(default=False, description="Control and zero-width characters dropped.")
    white_space: bool = Field(default=False, description="Runs of white space made one space.")


class DataConfig(Strict):
    """The texts: CSV, TSV, JSONL, Parquet, a folder of a saved dataset, or a hub name."""

    train: str | None = Field(
        default=None, description="Labelled rows; rows with no label are welcome."
    )
    unlabelled: tuple[str, ...] = Field(
        default=(), description="More texts for the soft terms alone; a label column is not read."
    )
    plain: tuple[str, ...] = Field(
        default=(),
        description="Plain text for pre-training: .txt files or folders of them; no rows, no "
        "labels.",
    )
    validation: str | None = Field(
        default=None, description="Rows that choose the best state; without it a share of train."
    )
    test: str | None = Field(
        default=None,
        description="Rows that are only reported; without it validation is, with a warning.",
    )
    outside: str | None = Field(
        default=None,
        description="single_label: texts that belong to no class; how well a low probability "
        "tells them from the test rows is reported (AUROC).",
    )
    text_column: str | None = Field(
        default=None, description="Found (text, sentence, …) when not given."
    )
    pair_column: str | None = Field(
        default=None,
        description="Second texts, where texts come in pairs; found together with the first "
        "(text_a and text_b, sentence1 and sentence2, premise and hypothesis, …) when neither is "
        "given.",
    )
    label_column: str | None = Field(
        default=None, description="Found (label, score, …) when not given."
    )
    parallel: ParallelConfig | None = Field(
        default=None,
        description="sentence_embeddings: rows of a text and its translations, one column a "
        "language; the student learns to put all of them where the teacher puts the source.",
    )
    domain_column: str | None = Field(
        default=None, description="ensemble.combine domain: which domain a training row is of."
    )
    label_separator: str | None = Field(
        default=None,
        min_length=1,
        description="multi_label: what joins the labels that are written into one string.",
    )
    tokens_column: str | None = Field(
        default=None,
        description="token_classification: the lists of words; found (tokens, words, …) when not "
        "given.",
    )
    tags_column: str | None = Field(
        default=None,
        description="token_classification: the lists of tags, one a word; found (ner_tags, tags, "
        "…) when not given.",
    )
    tags: Literal["iob2", "iob1", "bioes"] = Field(
        default="iob2",
        description="token_classification: how entities are written in the tags. iob1 and bioes "
        "(also BMES and BILOU) are converted to IOB2, in which models are trained.",
    )
    score_range: tuple[float, float] | None = Field(
        default=None, description="regression: lowest and highest score; others are refused."
    )
    labels: tuple[str, ...] | None = Field(
        default=None,
        description="Label names in the order of the integer labels, to check the teacher's.",
    )
    validation_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="Stratified share of train taken when there is no validation file."
    )
    max_tokens: Annotated[int, Field(ge=4)] = Field(
        default=128, description="Texts are cut to this many tokens, or to what the teacher takes."
    )
    stride: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="question_answering: contexts longer than max_tokens are read in windows that "
        "share this many tokens; more than the longest answer has, or it is whole in none. A third "
        "of max_tokens when not given.",
    )
    question_tokens: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="question_answering: longer questions lose their end. A sixth of max_tokens "
        "when not given.",
    )
    query_id_column: str | None = Field(
        default=None, description="reranking: which query a pair is of; found (query_id, qid)."
    )
    candidates: Annotated[int, Field(ge=2)] = Field(
        default=16,
        description="reranking: passages that a training query keeps at most, half of them "
        "relevant at most; judged queries keep all.",
    )
    mask_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.15, description="masked_language_modeling: share of a block's tokens hidden."
    )
    mask_copies: PositiveInt = Field(
        default=1,
        description="masked_language_modeling: rows a block is, each with other tokens hidden; 7 "
        "at a share of 0.15 hide each once.",
    )
    mask_seed: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="masked_language_modeling: of which are hidden, the same ones in knowledge, "
        "training and evaluation.",
    )
    clean: CleanConfig = Field(default_factory=lambda: CleanConfig())
    augment: AugmentConfig = Field(default_factory=lambda: AugmentConfig())

    @field_validator("score_range")
    @classmethod
    def _rising(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError(f"score_range is {list(value)}; the lowest score comes first")
        return value

    @field_validator("unlabelled", "plain", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class KnowledgeConfig(Strict):
    """What the teacher said, and where it is kept."""

    folder: str = Field(
        default="knowledge", description="Shared by all runs; addressed by content."
    )
    source: Literal["recorded", "live", "mutual", "feedback"] = Field(
        default="recorded",
        description="live asks the teacher anew in every step: slower, no disk. mutual and "
        "feedback train it along: from the student's answers, or from what its answers did to the "
        "student's loss on held-out rows.",
    )
    teacher_learning_rate: PositiveFloat = Field(
        default=1e-5, description="Of the teacher, where it is trained along."
    )
    quiz_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1,
        description="feedback: share of the labelled training rows on which the student's loss is "
        "taken; it never learns from them.",
    )
    top_k: PositiveInt | None = Field(
        default=None,
        description="Language models: how many of the teacher's likeliest tokens are kept at each "
        "place, 8 bytes each; all others are one more class. 64 when not given; with source live "
        "the whole vocabulary.",
    )
    states: Literal["float16", "int8"] = Field(
        default="float16",
        description="How the teacher's vectors (hidden states, queries, keys, values) are kept. "
        "int8 halves the disk; the error is measured and stands in the manifest.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Arithmetic of the recording. auto takes bfloat16 where it is faster here and "
        "moves no logit of a sample by more than logit_tolerance.",
    )
    logit_tolerance: PositiveFloat = Field(
        default=0.1, description="Largest move that auto accepts."
    )
    shard_rows: PositiveInt = Field(default=8192, description="Rows a shard: what a kill can cost.")


class ObjectiveConfig(Strict):
    """The loss: a weighted sum of terms. Without terms, those of the recipe's method."""

    terms: tuple[Term, ...] | None = Field(
        default=None, description="A list; each term has a kind and a weight."
    )

    balance: Literal["none", "gradients", "progress"] = Field(
        default="none",
        description="Adapt the weights while training: so that every term, before its weight, has "
        "a gradient of the same norm on the first layer, or so that what falls slowly counts more.",
    )

    on_policy: OnPolicyConfig = Field(default_factory=lambda: OnPolicyConfig())

    @field_validator("terms")
    @classmethod
    def _says_something(cls, terms: tuple[Term, ...] | None) -> tuple[Term, ...] | None:
        return terms_that_say_something(terms)


class TrainingConfig(Strict):
    """The loop."""

    epochs: PositiveInt = Field(default=3, description="Passes over the training texts.")
    learning_rate: PositiveFloat = Field(
        default=1e-4, description="Peak, after warm-up, before decay."
    )
    warmup_share: Share = Field(default=0.06, description="Share of the steps with a rising rate.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        default=0.01, description="AdamW's, on matrices."
    )
    clip_norm: PositiveFloat = Field(default=1.0, description="Largest norm of the whole gradient.")
    batch_rows: PositiveInt = Field(default=64, description="Rows a step, over all processes.")
    batch_tokens: PositiveInt = Field(
        default=8192, description="Padded tokens a step: cuts long batches."
    )
    accumulate: PositiveInt = Field(
        default=1, description="Parts that a step is computed in, for memory."
    )
    evaluations_per_epoch: PositiveInt = Field(
        default=2, description="Looks at the validation score."
    )
    patience: PositiveInt = Field(
        default=6, description="Looks without a better score before stopping."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="auto times steps of both on this machine, once, and keeps the choice.",
    )
    attention: Literal["auto", "eager", "sdpa"] = Field(
        default="auto",
        description="auto times steps of both on this machine, once, and keeps the choice.",
    )
    threads: PositiveInt | None = Field(
        default=None, description="CPU threads; all cores by default."
    )
    checkpoint_steps: PositiveInt = Field(default=200, description="Steps between checkpoints.")
    log_steps: PositiveInt = Field(default=20, description="Steps between lines of log.jsonl.")


class Recipe(Strict):
    """Everything a run is made from. Running a resolved recipe again gives the same student."""

    teacher: TeacherConfig
    ensemble: EnsembleConfig = Field(default_factory=lambda: EnsembleConfig())
    data: DataConfig = Field(default_factory=lambda: DataConfig())
    task: TaskName = Field(
        default="auto",
        description="What the model does; auto reads it from the teacher's config: classes (one a "
        "text), sets of classes, a number, tags of words, or answers to questions; from its "
        "modules.json: sentence embeddings; from rows that are queries with candidates: reranking. "
        "A text may be a pair of texts in the first three. A language model's task is to be named: "
        "most are given to be fine-tuned.",
    )
    method: str = Field(
        default="logits", description="See `limbeck methods`; sets defaults of other keys."
    )
    knowledge: KnowledgeConfig = Field(default_factory=lambda: KnowledgeConfig())
    student: StudentConfig = Field(default_factory=lambda: StudentConfig())
    assistants: tuple[AssistantConfig, ...] = Field(
        default=(), description="Students between teacher and student, the largest first."
    )
    pretraining: PretrainingConfig = Field(default_factory=lambda: PretrainingConfig())
    stages: tuple[Stage, ...] = Field(
        default=(), description="Trainings on the run's texts before the one of `objective`."
    )
    objective: ObjectiveConfig = Field(default_factory=lambda: ObjectiveConfig())
    training: TrainingConfig = Field(default_factory=lambda: TrainingConfig())
    evaluation: EvaluationConfig = Field(default_factory=lambda: EvaluationConfig())
    export: ExportConfig = Field(default_factory=lambda: ExportConfig())
    frontier: FrontierConfig = Field(default_factory=lambda: FrontierConfig())
    seed: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Of splits, batches and new weights."
    )
    output: str = Field(default="runs/limbeck", description="The folder of the run.")

    @model_validator(mode="before")
    @classmethod
    def _settings_of_the_method(cls, tree: Any) -> Any:
        """Put the method's settings where the user says nothing."""
        return with_method(tree) if isinstance(tree, dict) else tree

    @field_validator("method")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in method_names():
            raise ValueError(
                f"there is no method {value!r}.{nearest(value, method_names())} "
                f"Use one of {', '.join(method_names())}"
            )
        return value

    @field_validator("teacher", mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        several = 1 + len(self.ensemble.teachers)
        weights = self.ensemble.weights
        if weights is not None and len(weights) != several:
            raise ValueError(
                f"ensemble.weights has {len(weights)} numbers, but there are {several} teachers; "
                "give one weight a teacher, that of `teacher` first"
            )
        if self.ensemble.combine == "weighted" and weights is None:
            raise ValueError("ensemble.combine is weighted; give ensemble.weights, one a teacher")
        return self

    @property
    def terms(self) -> tuple[Term, ...]:
        """The objective's terms: the recipe's own, else those of its method."""
        assert self.objective.terms is not None  # every method sets them
        return self.objective.terms


class TeachRecipe(Strict):
    """Everything `teach` is made from: a base encoder, labelled texts and the loop."""

    base: TeacherConfig
    data: DataConfig
    task: TaskName = Field(
        default="auto",
        description="What the teacher is to do; auto is regression where the labels stand in a "
        "column named score, multi_label where they are lists or have a separator, "
        "token_classification where rows hold lists of tokens and no text, question_answering "
        "where they hold question, context and answers, else single_label.",
    )
    training: TrainingConfig = Field(default_factory=lambda: TrainingConfig(learning_rate=5e-5))
    dropout: Share = Field(
        default=0.1, description="Of hidden states and attention while training."
    )
    seed: Annotated[int, Field(ge=0)] = 0
    output: str = "models/teacher"

    @field_validator("base", mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value
