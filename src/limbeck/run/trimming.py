"""The student's vocabulary, trimmed to the run's training texts where the recipe wants that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from limbeck.config.recipe import Recipe
from limbeck.data.encode import Encoded, encode
from limbeck.progress import say
from limbeck.run.material import Material
from limbeck.student.plan import StudentPlan
from limbeck.student.vocabulary import Trimmed, check_trimmed, renumber, trim_vocabulary
from limbeck.teacher.load import Checkpoint


def trimmed_for(
    recipe: Recipe,
    student: Checkpoint,
    material: Material,
    encoded: Encoded,
    *,
    exact: bool,
    cache: Path,
) -> Trimmed | None:
    """The tokenizer without what the training texts do not need, if the recipe wants that.

    Args:
        recipe: The run's.
        student: Whose tokenizer it is.
        material: The run's texts.
        encoded: The training texts under the teacher's tokenizer.
        exact: Whether not one text may be cut into other tokens.
        cache: Where token ids are kept.

    Raises:
        StudentError: If texts are cut into other tokens afterwards.
    """
    if recipe.student.vocabulary == "full" or recipe.student.checkpoint is not None:
        return None
    texts = material.train.texts
    if student.family.whole_texts:  # its tokenizer puts no special tokens around them
        own = encoded.max_tokens
        encoded = encode(texts, student.backend, max_tokens=own, folder=cache)
    needed = [encoded]
    if texts.reading is not None:  # else others would be foretold of the rows that judge
        judged = (material.validation.texts, material.test.texts)
        needed += [
            encode(one, student.backend, max_tokens=encoded.max_tokens, folder=cache)
            for one in judged
        ]
    trimmed = trim_vocabulary(student.tokenizer, needed)
    # Hidden states are matched token by token, so there not one text may differ.
    limit = 0.0 if exact else 0.001
    different = check_trimmed(trimmed, texts, encoded, limit=limit)
    say(
        f"  vocabulary: {len(trimmed.kept):,} of {student.config.vocab_size:,} tokens kept"
        + (f"; {different} texts are now cut into other tokens" if different else "")
    )
    return trimmed


def with_vocabulary(student: StudentPlan, trimmed: Trimmed) -> StudentPlan:
    """The plan with the trimmed tokenizer and the new numbers of its special tokens.

    A padding token behind the ordinary ones (GPT-2, ModernBERT) has another number now: batches
    are padded with it, embeddings know it, and a decoder's head looks for it.
    """
    renumber(student.config, trimmed.kept)
    checkpoint = replace(student.checkpoint, tokenizer=trimmed.tokenizer)
    return replace(student, checkpoint=checkpoint)
