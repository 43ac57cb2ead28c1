"""A student loses heads and neurons, in one shot or in rounds, and is trained before each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.schedule import Adaptive, number_at
from limbeck.config.terms import LogitsTerm, Term
from limbeck.files import whole_folder
from limbeck.progress import say
from limbeck.run.stages import Classroom
from limbeck.student.pruned import Target, by_chance, choose, factor, whole, within
from limbeck.teacher.factored import embedding_table, worth_factoring
from limbeck.teacher.thin import Kept, make_thin
from limbeck.training.compensation import put_in, refits
from limbeck.training.importance import importance_of, mean_loss, sampled
from limbeck.training.lessons import Lessons
from limbeck.training.log import Log
from limbeck.training.loop import train

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def prune_in_rounds(model: PreTrainedModel, terms: Sequence[Term], room: Classroom) -> Kept | None:
    """Take out what the recipe wants out, in place; what is left, or None if nothing is wanted out.

    Each round asks anew what the loss hangs on, since taking out one structure changes the others.

    Args:
        model: The student.
        terms: What the arm learns from.
        room: What every training of the arm shares.
    """
    wanted = room.plan.recipe.student.pruning
    if not wanted.wanted:
        return None
    first = now = whole(model, room.plan.student.checkpoint.family)
    if wanted.heads is None and wanted.neurons is None and wanted.embedding_rank is None:
        return now  # all cuts come again, later
    for number in range(1, wanted.rounds + 1):
        _train(model, terms, room, number)
        share = number / wanted.rounds
        target = Target(
            heads=_so_far(first.heads, wanted.heads, share),
            neurons=_so_far(first.neurons, wanted.neurons, share),
            rank=_rank_so_far(model, wanted.embedding_rank, share),
        )
        now = prune(model, terms, room, now, target, str(number), compensate=wanted.compensate)
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
    target = Target(heads=cut.heads, neurons=cut.neurons)
    refit = room.plan.recipe.student.pruning.compensate
    return prune(model, terms, room, now, target, f"again-{number}", compensate=refit)


def prune(
    model: PreTrainedModel,
    terms: Sequence[Term],
    room: Classroom,
    now: Kept,
    target: Target,
    name: str,
    *,
    compensate: bool,
) -> Kept:
    """Take out, in place, all but what the loss hangs on most.

    What was chosen is kept on disk, so that an interrupted run goes on with the same student.

    Args:
        model: The student, trained.
        terms: What it learned from.
        room: What every training of the arm shares.
        now: What it has.
        target: What is to be left.
        name: Of this step, in checkpoints/.
        compensate: Refit what is left by least squares, where the loss falls by it.

    Returns:
        What is left, counted as `now` is.
    """
    checkpoint, lessons = room.plan.student.checkpoint, room.lessons
    place = room.run.checkpoints / f"{room.arm}-pruning-{name}"
    sample, temperature = sampled(lessons, room.plan.recipe.seed), temperature_of(terms)
    chosen = Kept.read(place)
    if chosen is None:
        if room.plan.recipe.student.pruning.by == "chance":
            importance = by_chance(now, room.plan.recipe.seed)
        else:
            importance = importance_of(model, checkpoint, lessons, sample, temperature=temperature)
        chosen = choose(importance, now, target)
        with whole_folder(place) as part:
            chosen.save(part)
    compensated = compensate and chosen != now
    batches = [lessons.batch(checkpoint, rows, 1) for rows in sample] if compensated else []
    new = refits(model, checkpoint, batches, chosen) if compensated else None
    make_thin(model, checkpoint.family, chosen)
    if chosen.rank is not None and chosen.rank != now.rank:
        kept = factor(model, _counts(lessons, len(embedding_table(model))), chosen.rank)
        say(f"  word embeddings of rank {chosen.rank} keep {kept:.1%} of their energy")
    if new is not None:
        before = mean_loss(model, checkpoint, lessons, sample, temperature=temperature)
        old = {key: value.clone() for key, value in model.state_dict().items()}
        put_in(model, checkpoint, new)
        after = mean_loss(model, checkpoint, lessons, sample, temperature=temperature)
        say(f"  least squares: the loss goes from {before:.4f} to {after:.4f}")
        if not after < before:
            model.load_state_dict(old)
    return within(chosen, now)


def _counts(lessons: Lessons, tokens: int) -> np.ndarray:
    """How often the texts hold each token [tokens]."""
    encoded = lessons.encoded
    counts = np.zeros(tokens, dtype=np.int64)
    for start in range(0, len(encoded), 8192):
        end = min(start + 8192, len(encoded))
        ids = encoded.ids[int(encoded.offsets[start]) : int(encoded.offsets[end])]
        counts += np.bincount(np.asarray(ids), minlength=tokens)
    return counts


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


def _rank_so_far(model: PreTrainedModel, last: int | None, share: float) -> int | None:
    """The embeddings' rank after a share of the rounds, or None while a product saves nothing."""
    if last is None:
        return None
    tokens, width = embedding_table(model).shape
    rank = max(last, round(width * (last / width) ** share))
    return rank if worth_factoring(tokens, width, rank) else None


def temperature_of(terms: Sequence[Term]) -> float:
    """That of the first term on logits, as it is at the end."""
    for term in terms:
        if isinstance(term, LogitsTerm) and not isinstance(term.temperature, Adaptive):
            return number_at(term.temperature, 1.0)
    return 1.0
