"""How a run's teacher and student understand each other where they cut texts into other tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limbeck.config.recipe import Recipe
from limbeck.config.schedule import largest
from limbeck.config.terms import AttentionTerm, HiddenTerm, LogitsTerm, RelationsTerm, Term
from limbeck.data.alignment import too_many_unaligned
from limbeck.data.crossing import Crossing, Reader, cross
from limbeck.data.encode import Encoded
from limbeck.data.same_pieces import encode_alike
from limbeck.data.texts import Texts
from limbeck.data.tokenizer_bytes import tokenizer_bytes
from limbeck.errors import RecipeError
from limbeck.knowledge.answers import Answers
from limbeck.knowledge.carried import Carried, Windows, unheard
from limbeck.progress import say
from limbeck.run.objective import Objective
from limbeck.teacher.load import Checkpoint

_CHUNK = 512


@dataclass(frozen=True)
class Crossed:
    """What carries a teacher's answers to a student with other tokens.

    Attributes:
        windows: Both sides' rows of questions, or None where rows are texts.
        crossing: The pairs of tokens, or None where no term looks at states.
        left: Whether the teacher's padding goes before the text.
        unaligned: Share of tokens (of questions: of the teacher's places) that have none on the
            other side; None where nothing is said of tokens.
    """

    windows: Windows | None
    crossing: Crossing | None
    left: bool
    unaligned: float | None

    def carried(self, answers: Answers) -> Answers:
        """The answers, of the student's tokens."""
        if self.windows is None and self.crossing is None:
            return answers
        return Carried(answers, self.crossing, left=self.left, windows=self.windows)


def other_tokens(student: Checkpoint, teacher: Checkpoint) -> bool:
    """Whether two checkpoints cut texts into other tokens."""
    return tokenizer_bytes(student.backend) != tokenizer_bytes(teacher.backend)


def refuse_uncrossable(recipe: Recipe, objective: Objective) -> None:
    """Refuse terms that compare pairs of tokens where the tokens are others.

    Raises:
        RecipeError: Naming the term.
    """
    named = [("objective.terms", objective.terms)]
    named += [(f"stages[{n}].terms", stage.terms) for n, stage in enumerate(objective.stages)]
    key = "student.tokenizer" if recipe.student.tokenizer else "student.checkpoint"
    for where, terms in named:
        for place, term in enumerate(terms):
            if isinstance(term, AttentionTerm | RelationsTerm) and largest(term.weight) > 0:
                raise RecipeError(
                    f"{where}[{place}]",
                    f"a term of kind {term.kind} compares how much each token looks at each other "
                    f"one, and by {key} the student has other tokens than the teacher: what is "
                    "looked at in a piece of a word says nothing of the whole word",
                    "Use terms of kind logits, vectors, similarity or hidden, which are carried "
                    "over, or keep the teacher's tokens (student.vocabulary: trim makes them "
                    "fewer).",
                )


def rows_like(
    texts: Texts,
    own: Encoded,
    student: Checkpoint,
    teacher: Checkpoint,
    *,
    tokens: int,
    cache: Path,
) -> Encoded:
    """The student's windows as the teacher reads them.

    They are asked about whole where the teacher takes as much: up to twice the tokens.

    Args:
        texts: Training questions.
        own: Their windows under the student's tokenizer.
        student: Whose tokenizer that is.
        teacher: Who is asked.
        tokens: Of a window.
        cache: Where rows are kept.
    """
    return encode_alike(
        texts,
        own,
        student.backend,
        teacher.backend,
        max_tokens=teacher.max_tokens(2 * tokens),
        folder=cache,
    )


def crossed(
    recipe: Recipe,
    objective: Objective,
    texts: Texts,
    student: tuple[Checkpoint, Encoded],
    teacher: tuple[Checkpoint, Encoded],
    *,
    cache: Path,
) -> Crossed:
    """What carries the teacher's answers on the training texts to the student.

    Args:
        recipe: The run's.
        objective: What is looked at.
        texts: Training texts.
        student: The student's checkpoint and its rows.
        teacher: The teacher's and its rows, of the same texts or windows.
        cache: Where the pairs of tokens are kept.

    Raises:
        DataError: If too many tokens have none on the other side.
    """
    own, theirs = student[1], teacher[1]
    limit = recipe.student.unaligned_limit
    crossing = windows = unaligned = None
    if objective.parts:
        readers = (Reader(one.backend, encoded) for one, encoded in (student, teacher))
        tokenwise = any(map(_tokenwise, _terms(objective)))
        crossing = cross(texts, *readers, unaligned_limit=limit if tokenwise else 1.0, folder=cache)
        unaligned = crossing.unaligned if tokenwise else None
    if own.groups is not None and any(isinstance(t, LogitsTerm) for t in _terms(objective)):
        windows = Windows(own, theirs)
        lost, wanted = _unheard(windows)
        if lost > limit * wanted:
            raise too_many_unaligned(lost, wanted, limit, "its windows")
        unaligned = max(unaligned or 0.0, lost / max(wanted, 1))
    if unaligned is not None:
        say(
            f"  {unaligned:.2%} of the tokens have none on the other side, and nothing is carried "
            f"over there (student.unaligned_limit: {limit:.1%})"
        )
    return Crossed(windows, crossing, teacher[0].pads_left, unaligned)


def _terms(objective: Objective) -> Iterator[Term]:
    yield from objective.terms
    for stage in objective.stages:
        yield from stage.terms


def _tokenwise(term: Term) -> bool:
    return isinstance(term, HiddenTerm) and term.tokens == "all"


def _unheard(windows: Windows) -> tuple[int, int]:
    """How many of the teacher's places have none of the student's, and of how many."""
    lost = wanted = 0
    for start in range(0, len(windows.student), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(windows.student)))
        found = unheard(windows, rows)
        lost, wanted = lost + found[0], wanted + found[1]
    return lost, wanted
