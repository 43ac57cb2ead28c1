"""The plan of a pre-training on plain text: everything that is checked before weights are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import Recipe, TeacherConfig, TrainingConfig
from limbeck.config.terms import ExitsTerm, HardTerm, LogitsTerm, Term
from limbeck.data.encode import Encoded, encode, tokenizer_bytes
from limbeck.data.masking import Masking, masking_for
from limbeck.data.plain import plain_texts
from limbeck.data.texts import Texts
from limbeck.errors import RecipeError
from limbeck.run.objective import plan_terms, refuse_shared_layers
from limbeck.student.plan import StudentPlan, plan_student
from limbeck.teacher.family import layer_count
from limbeck.teacher.load import Checkpoint, look_at
from limbeck.teacher.masked_lm import check_vocabulary_head
from limbeck.teacher.parts import Part
from limbeck.training.layer_maps import Depths, teacher_parts

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_HELD_SHARE, _MOST_HELD = 0.02, 256
"""Rows held out: enough tokens for a perplexity, few enough to be asked about in seconds."""


@dataclass(frozen=True)
class GeneralPlan:
    """A pre-training that has passed every check that needs no weights.

    Attributes:
        recipe: The run's.
        teacher: Who is asked.
        student: What to build, from this teacher.
        terms: With layer maps.
        parts: All that they need of the teacher beside its logits.
        masking: How words are hidden, or None where no term guesses any.
        texts: Rows of plain text.
        encoded: Their token ids, of teacher and student alike.
        held_out: The rows that are only examined on.
    """

    recipe: Recipe
    teacher: Checkpoint
    student: StudentPlan
    terms: tuple[Term, ...]
    parts: tuple[Part, ...]
    masking: Masking | None
    texts: Texts
    encoded: Encoded
    held_out: np.ndarray

    @property
    def learned(self) -> np.ndarray:
        """The rows to learn from."""
        return np.setdiff1d(np.arange(len(self.encoded)), self.held_out)

    @property
    def tokens(self) -> int:
        """Of the rows to learn from."""
        return int(self.encoded.lengths[self.learned].sum())

    @property
    def asks_vocabulary(self) -> bool:
        """Whether the teacher must have a masked-LM head."""
        return any(isinstance(term, LogitsTerm) for term in self.terms)

    @property
    def training(self) -> TrainingConfig:
        """The loop's settings."""
        own = self.recipe.pretraining
        return self.recipe.training.model_copy(
            update={"epochs": own.epochs, "learning_rate": own.learning_rate}
        )

    def in_words(self) -> str:
        """What happens, in one line."""
        how = "words masked" if self.masking else "nothing masked"
        return (
            f"{self.tokens:,} tokens of plain text in {len(self.learned):,} rows, {how}, "
            f"{self.training.epochs} epochs, taught by {self.teacher.path}"
        )


def wants_pretraining(recipe: Recipe) -> bool:
    """Whether a recipe asks for a pre-training.

    Raises:
        RecipeError: If it gives plain text and nothing to do with it.
    """
    if not recipe.data.plain:
        return False
    if recipe.pretraining.terms is None:
        raise RecipeError(
            "data.plain",
            f"plain text is given, but the method {recipe.method} does not pre-train, so it would "
            "not be read",
            "Use a method that does (distilbert, tinybert, minilm, minilm2, mobilebert), set "
            "pretraining.terms, or leave data.plain out.",
        )
    return True


def plan_general(recipe: Recipe, *, cache: Path) -> GeneralPlan:
    """Check and prepare the pre-training that a recipe asks for.

    Args:
        recipe: With `data.plain` and `pretraining.terms`.
        cache: Where packed texts and token ids are kept.

    Raises:
        LimbeckError: The first thing that would fail or train towards a wrong target.
    """
    own = recipe.pretraining
    if not recipe.data.plain or own.terms is None:
        key = "data.plain" if not recipe.data.plain else "pretraining.terms"
        raise RecipeError(
            key,
            "this is missing, and without it there is nothing to pre-train on or from",
            "Name .txt files or folders (--plain books/) and a method that pre-trains (--method "
            "distilbert), or set pretraining.terms.",
        )
    teacher = look_at(_teacher_config(recipe))
    guesses = any(isinstance(term, HardTerm | LogitsTerm) for term in own.terms)
    if guesses:
        check_vocabulary_head(teacher)
    student = plan_student(
        recipe.student,
        teacher,
        int(teacher.config.vocab_size),
        head="masked_lm" if guesses else "classifier",
    )
    terms = _terms(own.terms, student, teacher)
    if own.layer_by_layer:
        refuse_shared_layers("pretraining", student)
    refuse_other_tokenizer(student.checkpoint, teacher, where="student.checkpoint")
    masking = None
    if guesses:
        masking = masking_for(
            teacher.tokenizer,
            vocabulary=min(int(teacher.config.vocab_size), int(student.config.vocab_size)),
            share=own.mask_share,
            seed=recipe.seed,
            where=teacher.path,
        )
        check_vocabulary_head(student.checkpoint)
    max_tokens = teacher.max_tokens(recipe.data.max_tokens)
    texts = plain_texts(
        recipe.data.plain,
        teacher.backend,
        max_tokens=max_tokens,
        clean=recipe.data.clean,
        folder=cache,
    )
    depths = Depths(layer_count(student.config), layer_count(teacher.config))
    return GeneralPlan(
        recipe=recipe,
        teacher=teacher,
        student=student,
        terms=terms,
        parts=teacher_parts(terms, depths),
        masking=masking,
        texts=texts,
        encoded=encode(texts, teacher.backend, max_tokens=max_tokens, folder=cache),
        held_out=_held_out(len(texts)),
    )


def refuse_other_shape(general: StudentPlan, student: StudentPlan) -> None:
    """Refuse a pre-trained body that is not the run's student's.

    Args:
        general: The student as it is pre-trained.
        student: The student of the run.

    Raises:
        RecipeError: Naming a weight that differs.
    """
    own, other = _body_shapes(general.config), _body_shapes(student.config)
    odd = [name for name in sorted(own.keys() | other.keys()) if own.get(name) != other.get(name)]
    if odd:
        raise RecipeError(
            "pretraining.teacher",
            f"a student of it would not be that of the run's teacher: {odd[0]} is "
            f"{own.get(odd[0], 'missing')} in the one and {other.get(odd[0], 'missing')} in the "
            "other",
            "Use the model that the run's teacher was fine-tuned from, or write the student's "
            "sizes out (layers, hidden, heads, intermediate).",
        )


def refuse_other_tokenizer(one: Checkpoint, other: Checkpoint, *, where: str) -> None:
    """Refuse models that would be fed other tokens than each other.

    Raises:
        RecipeError: If their tokenizers differ.
    """
    if tokenizer_bytes(one.backend) != tokenizer_bytes(other.backend):
        raise RecipeError(
            where,
            f"the tokenizers of {one.path} and {other.path} differ, and pre-training compares "
            "token by token",
            "Use models that share a tokenizer, such as one that was fine-tuned from the other.",
        )


def _teacher_config(recipe: Recipe) -> TeacherConfig:
    path = recipe.pretraining.teacher
    return recipe.teacher if path in (None, recipe.teacher.path) else TeacherConfig(path=str(path))


def _terms(terms: Sequence[Term], student: StudentPlan, teacher: Checkpoint) -> tuple[Term, ...]:
    where = "pretraining.terms"
    for place, term in enumerate(terms):
        if isinstance(term, ExitsTerm):
            raise RecipeError(
                f"{where}[{place}]",
                "exits are classifiers, and plain text has no classes",
                "Put this term into objective.terms.",
            )
    words = int(teacher.config.vocab_size)
    return plan_terms(terms, student, teacher, classes=words, where=where)


def _held_out(rows: int) -> np.ndarray:
    """Rows spread evenly over all of the text."""
    count = max(2, min(_MOST_HELD, round(_HELD_SHARE * rows)))
    return (2 * np.arange(count) + 1) * rows // (2 * count)


def _body_shapes(config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of an encoder's weights, without the pooler and whatever the vocabulary is."""
    import torch
    from transformers import AutoModel

    with torch.device("meta"):
        model = AutoModel.from_config(config)
    words = model.get_input_embeddings().weight
    return {
        name: tuple(value.shape[1:] if value is words else value.shape)
        for name, value in model.named_parameters()
        if "pooler" not in name
    }
