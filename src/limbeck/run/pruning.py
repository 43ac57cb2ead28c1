"""A student loses heads and neurons, in one shot or in rounds, and is trained before each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from limbeck.config.schedule import Adaptive, number_at
from limbeck.config.student import CutConfig
from limbeck.config.terms import LogitsTerm, Term
from limbeck.files import whole_folder
from limbeck.run.stages import Classroom
from limbeck.student.pruned import choose, whole, within
from limbeck.teacher.thin import Kept, make_thin
from limbeck.training.importance import importance_of
from limbeck.training.log import Log
from limbeck.training.loop import train

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def prune_in_rounds(model: PreTrainedModel, terms: Sequence[Term], room: Classroom) -> Kept | None:
    """Take out what the recipe wants out, in place; what is left, or None if nothing is wanted out.

    Each round asks anew what the loss hangs on, since taking out one structure changes the others.
    What a round chose is kept on disk, so that an interrupted run goes on with the same student.

    Args:
        model: The student.
        terms: What the arm learns from.
        room: What every training of the arm shares.
    """
    wanted = room.plan.recipe.student.pruning
    if not wanted.wanted:
        return None
    checkpoint = room.plan.student.checkpoint
    first = now = whole(model, checkpoint.family)
    if wanted.heads is None and wanted.neurons is None:
        return now  # all cuts come again, later
    for number in range(1, wanted.rounds + 1):
        _train(model, terms, room, number)
        share = number / wanted.rounds
        cut = CutConfig(
            heads=_so_far(first.heads, wanted.heads, share),
            neurons=_so_far(first.neurons, wanted.neurons, share),
        )
        now = _take_out(model, terms, room, cut, now, f"{room.arm}-pruning-{number}")
    return now


def prune_again(
    model: PreTrainedModel, terms: Sequence[Term], room: Classroom, number: int, now: Kept | None
) -> Kept:
    """Take out what the recipe's cut of this number wants out of a trained student, in place.

    Args:
        model: The student.
        terms: What the arm learns from.
        room: What every training of the arm shares.
        number: Of the cut, from 1.
        now: What is left before, as `prune_in_rounds` says.
    """
    cut = room.plan.recipe.student.pruning.again[number - 1]
    assert now is not None
    return _take_out(model, terms, room, cut, now, f"{room.arm}-pruning-again-{number}")


def _take_out(
    model: PreTrainedModel,
    terms: Sequence[Term],
    room: Classroom,
    cut: CutConfig,
    now: Kept,
    name: str,
) -> Kept:
    """One cut by what the loss hangs on; as it was chosen before, where it was."""
    checkpoint = room.plan.student.checkpoint
    place = room.run.checkpoints / name
    chosen = Kept.read(place)
    if chosen is None:
        importance = importance_of(
            model,
            checkpoint,
            room.lessons,
            temperature=_temperature(terms),
            seed=room.plan.recipe.seed,
        )
        chosen = choose(importance, now, heads=cut.heads, neurons=cut.neurons)
        with whole_folder(place) as part:
            chosen.save(part)
    make_thin(model, checkpoint.family, chosen)
    return within(chosen, now)


def _train(model: PreTrainedModel, terms: Sequence[Term], room: Classroom, number: int) -> None:
    """The training before a round: what is judged must be what the student has learned."""
    config = room.plan.recipe.training
    name = f"{room.arm}-before-pruning-{number}"
    train(
        model,
        room.plan.student.checkpoint,
        terms,
        room.lessons,
        room.exam,
        config=config.model_copy(update={"epochs": room.plan.recipe.student.pruning.epochs}),
        machine=room.machine,
        seed=room.plan.recipe.seed,
        folder=room.run.checkpoints / name,
        log=Log(room.run.log, name),
        name=f"before pruning round {number} ({room.arm})",
    )


def _so_far(layers: Sequence[Sequence[int]], last: int | None, share: float) -> int | None:
    """How many a layer stay after a share of the rounds: each round takes out the same part."""
    if last is None:
        return None
    there = sum(map(len, layers)) / len(layers)
    return max(last, round(there * (last / there) ** share))


def _temperature(terms: Sequence[Term]) -> float:
    """That of the first term on logits, as it is at the end."""
    for term in terms:
        if isinstance(term, LogitsTerm) and not isinstance(term.temperature, Adaptive):
            return number_at(term.temperature, 1.0)
    return 1.0
