"""The teacher: a model that can be asked, or a file of what somebody else's model said."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from limbeck.config.schedule import Strict

AnswerKind = Literal["probabilities", "logits", "scores", "vectors"]


class AnswersConfig(Strict):
    """What a model said that nobody can ask any more, in files: CSV, JSONL, Parquet, npy, npz."""

    train: str | None = Field(
        default=None,
        description="About the rows of data.train: a file, or a knowledge folder. Rows that it "
        "lacks learn from their labels alone.",
    )
    unlabelled: str | None = Field(
        default=None, description="About the rows of data.unlabelled, all of its files together."
    )
    validation: str | None = Field(default=None, description="About those of data.validation.")
    test: str | None = Field(
        default=None,
        description="About those of data.test; without it nothing is known of the teacher's score.",
    )
    kind: AnswerKind = Field(
        default="probabilities",
        description="probabilities become logits; scores are single numbers (regression); vectors "
        "are of texts (sentence_embeddings).",
    )
    column: str | None = Field(
        default=None,
        description="The column of the answers: lists, objects by class, or numbers. Found "
        "(probabilities, logits, score, vector, …) when not given, else a column a class.",
    )
    id_column: str = Field(
        default="id",
        description="Joins answers to rows: the rows' own column of this name, or limbeck's ids "
        "(train/17). Files without it have an answer a row, in the rows' order.",
    )
    missing_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.5, description="Largest share of the training rows that may have no answer."
    )


class TeacherConfig(Strict):
    """The model that answers."""

    path: str = Field(
        description="A folder that transformers can load, or a hub name. With answers: the encoder "
        "that the student is cut from."
    )
    trust_remote_code: bool = Field(
        default=False,
        description="Run code that the checkpoint brings along. Off unless you trust it.",
    )
    pooling: Literal["mean", "cls", "max"] | None = Field(
        default=None,
        description="sentence_embeddings: what makes a text's vector of its tokens, for a plain "
        "encoder; a sentence-transformers folder says it itself.",
    )
    normalize: bool = Field(
        default=False, description="With pooling: whether vectors are brought to length 1."
    )
    answers: AnswersConfig | None = Field(
        default=None,
        description="Somebody else's answers, in place of those of the model at path: a black box. "
        "A file name alone is that of answers.train.",
    )

    @field_validator("answers", mode="before")
    @classmethod
    def _file_alone(cls, value: Any) -> Any:
        return {"train": value} if isinstance(value, str) else value
