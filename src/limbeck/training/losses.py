"""What each term of a recipe computes. The one place where a term meets its function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, assert_never

from limbeck.config.schedule import Adaptive, number_at
from limbeck.config.terms import (
    AttentionTerm,
    ExitsTerm,
    HardTerm,
    HiddenTerm,
    LogitsTerm,
    RelationsTerm,
    SimilarityTerm,
    Term,
    VectorsTerm,
)
from limbeck.objective import (
    attention_distribution_kl,
    attention_score_mse,
    attention_scores,
    contrastive_nce,
    correctness_weights,
    decoupled_kd,
    earth_movers_weights,
    entropy_weights,
    gap_temperature,
    hidden_cosine,
    hidden_mse,
    hidden_normalized_mse,
    logit_correlation,
    logit_jensen_shannon,
    logit_kl,
    logit_reverse_kl,
    logit_skewed_kl,
    logit_skewed_reverse_kl,
    margin_mse,
    pooled_cosine,
    pooled_mse,
    pooled_normalized_mse,
    relation_kl,
    relational_angle,
    relational_distance,
    similarity_preserving,
    soft_cross_entropy,
    standardize_logits,
    uncertainty_weights,
)
from limbeck.tasks.task import Task
from limbeck.teacher.parts import Part
from limbeck.training.inputs import Counted, Inputs, Sides
from limbeck.training.layer_maps import Matched, map_in_step
from limbeck.training.told import answered
from limbeck.training.vectors import vectors_value

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST = 1e-30
"""Of a probability whose logarithm is taken: masked tokens have exactly 0."""
Loss = Callable[..., "Tensor"]
DIVERGENCES: dict[str, Loss] = {
    "kl": logit_kl,
    "cross_entropy": soft_cross_entropy,
    "reverse_kl": logit_reverse_kl,
    "jensen_shannon": logit_jensen_shannon,
}
SKEWED: dict[str, Loss] = {
    "skewed_kl": logit_skewed_kl,
    "skewed_reverse_kl": logit_skewed_reverse_kl,
}
TOKENWISE: dict[str, Loss] = {
    "mse": hidden_mse,
    "cosine": hidden_cosine,
    "normalized_mse": hidden_normalized_mse,
}
POOLED: dict[str, Loss] = {
    "mse": pooled_mse,
    "cosine": pooled_cosine,
    "normalized_mse": pooled_normalized_mse,
}
SIMILARITIES: dict[str, Loss] = {
    "similarity_preserving": similarity_preserving,
    "distance": relational_distance,
    "angle": relational_angle,
}


def label_share(part: Counted, whole: Counted) -> float:
    """How many times as much of a step's labels as of its rows a part holds."""
    if not whole.labelled or not part.rows:
        return 0.0
    return part.labelled / whole.labelled * whole.rows / part.rows


def term_name(term: Term) -> str:
    """A term's name in the log."""
    match term:
        case HardTerm():
            return "hard"
        case LogitsTerm():
            return f"logits_{term.divergence}"
        case VectorsTerm():
            return f"vectors_{term.distance}"
        case HiddenTerm():
            return f"hidden_{term.distance}" + ("_first" if term.tokens == "first" else "")
        case AttentionTerm():
            return f"attention_{term.distance}"
        case RelationsTerm():
            return "relations_" + "_".join(term.of)
        case SimilarityTerm():
            return f"similarity_{term.of}"
        case ExitsTerm():
            return "exits"
        case _:
            assert_never(term)


def pools(term: Term) -> bool:
    """Whether a term looks at hidden states of whole texts, not token by token."""
    return isinstance(term, SimilarityTerm) or (
        isinstance(term, HiddenTerm) and term.tokens == "first"
    )


def term_value(term: Term, inputs: Inputs, sides: Sides) -> Tensor:
    """The term's unweighted value over one part, a float32 scalar with gradients."""
    match term:
        case HardTerm():
            said = inputs.student_logits if inputs.foretold is None else inputs.foretold
            return sides.task.hard(said, inputs.labels, inputs.layout)
        case LogitsTerm():
            return logits_value(term, answered(inputs), sides.task)
        case VectorsTerm():
            heard = answered(inputs)
            assert heard.teacher_logits is not None
            return vectors_value(term, heard.student_logits, heard.teacher_logits)
        case ExitsTerm():
            return _exits(term, inputs, sides.task)
        case HiddenTerm() | AttentionTerm() | RelationsTerm() | SimilarityTerm():
            return _matched(term, inputs, sides)
        case _:
            assert_never(term)


def logits_value(term: LogitsTerm, inputs: Inputs, task: Task) -> Tensor:
    """The distance between the logits of both sides."""
    student, teacher = inputs.student_logits, inputs.teacher_logits
    assert teacher is not None
    if not len(student):  # by chance, no word of this part is masked, or no row was answered
        return student.sum()
    if term.divergence == "margin_mse":
        assert inputs.layout is not None  # of every batch of candidates
        lists = inputs.layout.padded(student)[..., 0], inputs.layout.padded(teacher)[..., 0]
        return margin_mse(*lists, inputs.layout.mask())
    if not task.distributes:
        assert not isinstance(term.temperature, Adaptive)  # refused by the plan
        temperature = number_at(term.temperature, inputs.share)
        return task.soft(student, teacher, inputs.layout, temperature=temperature)
    if term.standardize:
        student, teacher = standardize_logits(student), standardize_logits(teacher)
    temperature = _temperature(term, student, teacher, inputs.share)
    weights = _row_weights(term, inputs)
    match term.divergence:
        case "decoupled":
            return decoupled_kd(
                student,
                teacher,
                inputs.labels,
                temperature=temperature,
                alpha=term.target,
                beta=term.others,
                weights=weights,
            )
        case "correlation":
            return logit_correlation(
                student, teacher, temperature=temperature, beta=term.by_row, gamma=term.by_class
            )
        case "skewed_kl" | "skewed_reverse_kl":
            return SKEWED[term.divergence](
                student, teacher, temperature=temperature, skew=term.skew, weights=weights
            )
        case _:
            return DIVERGENCES[term.divergence](
                student, teacher, temperature=temperature, weights=weights
            )


def _temperature(term: LogitsTerm, student: Tensor, teacher: Tensor, share: float) -> Any:
    """One number, or one a row."""
    if isinstance(term.temperature, Adaptive):
        how = term.temperature
        return gap_temperature(
            student, teacher, temperature=how.base, spread=how.spread, focus=how.focus
        )
    return number_at(term.temperature, share)


def _row_weights(term: LogitsTerm, inputs: Inputs) -> Tensor | None:
    assert inputs.teacher_logits is not None
    match term.examples:
        case "equal":
            return None
        case "teacher_entropy":
            return entropy_weights(inputs.teacher_logits)
        case "teacher_correctness":
            return correctness_weights(inputs.teacher_logits, inputs.labels)
        case "student_entropy":
            return uncertainty_weights(inputs.student_logits)
        case _:
            assert_never(term.examples)


def _exits(term: ExitsTerm, inputs: Inputs, task: Task) -> Tensor:
    values = []
    for layer in term.layers or ():
        logits = inputs.exit_logits[layer]
        soft = task.soft(logits, inputs.student_logits.detach(), temperature=term.temperature)
        # The term is weighted by its share of rows; labels may lie in the parts otherwise.
        hard = inputs.label_share * task.hard(logits, inputs.labels)
        values.append(term.hard * hard + (1 - term.hard) * soft)
    return sum(values[1:], values[0]) / len(values)


def _matched(term: Matched, inputs: Inputs, sides: Sides) -> Tensor:
    """The mean over matched layers, or over the cheapest transport between all of them."""
    import torch

    depths = sides.depths
    if term.layer_map == "learned":
        costs = torch.stack(
            [
                torch.stack(
                    [
                        _between(term, student, teacher, inputs, sides)
                        for teacher in range(1, depths.teacher + 1)
                    ]
                )
                for student in range(1, depths.student + 1)
            ]
        )
        return (earth_movers_weights(costs.detach()) * costs).sum()
    layer_map = map_in_step(term, depths, seed=sides.seed, number=inputs.number)
    values = [_between(term, *pair, inputs, sides) for pair in layer_map.items()]
    return sum(values[1:], values[0]) / len(values)


def _between(term: Matched, student: int, teacher: int, inputs: Inputs, sides: Sides) -> Tensor:
    """The term between one layer of the student and one of the teacher."""
    match term:
        case HiddenTerm():
            return _hidden(term, student, teacher, inputs, sides)
        case AttentionTerm():
            return _attention(term, student, teacher, inputs, sides)
        case RelationsTerm():
            values = [
                relation_kl(
                    inputs.student_states[Part(what, student)],
                    inputs.teacher_states[Part(what, teacher)],
                    attention_mask=inputs.attention_mask,
                    heads=term.heads or sides.student_heads,
                )
                for what in term.of
            ]
            return sum(values[1:], values[0])
        case SimilarityTerm():
            return _similarity(term, student, teacher, inputs, sides)
        case _:
            assert_never(term)


def _hidden(term: HiddenTerm, student: int, teacher: int, inputs: Inputs, sides: Sides) -> Tensor:
    own, other = Part("hidden", student), Part("hidden", teacher)
    states = inputs.projected.get(own, inputs.student_states[own])
    wanted = inputs.teacher_states[other]
    if term.tokens == "first":
        return POOLED[term.distance](
            states[:, sides.first_token], _firsts(other, inputs, sides.first_token)
        )
    mask = inputs.attention_mask if inputs.compared is None else inputs.compared
    return TOKENWISE[term.distance](states, wanted, attention_mask=mask)


def _firsts(part: Part, inputs: Inputs, first_token: int) -> Tensor:
    """The teacher's vectors of the tokens that stand for the texts."""
    theirs = inputs.teacher_tokens
    if theirs is None:
        return inputs.teacher_states[part][:, first_token]
    return theirs.states[part][:, theirs.first_token]


def _attention(
    term: AttentionTerm, student: int, teacher: int, inputs: Inputs, sides: Sides
) -> Tensor:
    mask, heads = inputs.attention_mask, term.heads
    if heads == "auto":
        heads = "each" if sides.student_heads == sides.teacher_heads else "mean"
    own = _scores(inputs.student_states, student, sides.student_heads)
    if term.distance == "score_mse":
        other = _scores(inputs.teacher_states, teacher, sides.teacher_heads)
        return attention_score_mse(own, other, attention_mask=mask, heads=heads)
    distribution = inputs.teacher_states[Part("attention", teacher)]
    return attention_distribution_kl(own, distribution, attention_mask=mask, heads=heads)


def _scores(states: Mapping[Part, Tensor], layer: int, heads: int) -> Tensor:
    """Scores before the softmax; of a distribution its logarithm, which has the same softmax."""
    distribution = states.get(Part("attention", layer))
    if distribution is not None:
        return distribution.float().clamp(min=_SMALLEST).log()
    queries, keys = (
        states[Part(what, layer)].float().unflatten(-1, (heads, -1)).transpose(1, 2)
        for what in ("queries", "keys")
    )
    return attention_scores(queries, keys)


def _similarity(
    term: SimilarityTerm, student: int, teacher: int, inputs: Inputs, sides: Sides
) -> Tensor:
    own, other = Part("hidden", student), Part("hidden", teacher)
    contrastive = term.of == "contrastive"
    states = inputs.student_states[own]
    if contrastive:
        states = inputs.projected.get(own, states)
    rows = _pooled(states, term, inputs.attention_mask, sides.first_token)
    theirs = inputs.teacher_tokens
    if theirs is None:
        wanted = _pooled(
            inputs.teacher_states[other], term, inputs.attention_mask, sides.first_token
        )
    else:
        wanted = _pooled(theirs.states[other], term, theirs.attention_mask, theirs.first_token)
    if contrastive:
        return contrastive_nce(rows, wanted, temperature=term.temperature)
    return SIMILARITIES[term.of](rows, wanted)


def _pooled(states: Tensor, term: SimilarityTerm, mask: Tensor, first_token: int) -> Tensor:
    if term.pooled == "first":
        return states[:, first_token]
    real = mask[..., None]
    return (states.float() * real).sum(1) / real.sum(1)


def share(term: Term, part: Counted, whole: Counted) -> float:
    """The part's share of the step's mean, so that 2 x 8 rows train like 1 x 16.

    Terms that compare rows with each other see those of their part alone; they and the weights of
    rows are the exception.
    """
    match term:
        case HardTerm():
            return part.labelled / whole.labelled if whole.labelled else 0.0
        case LogitsTerm() | VectorsTerm():
            return part.answered / whole.answered if whole.answered else 0.0
        case SimilarityTerm() | ExitsTerm():
            return part.rows / whole.rows
        case HiddenTerm():
            return part.rows / whole.rows if term.tokens == "first" else part.tokens / whole.tokens
        case AttentionTerm():
            if term.distance == "score_mse":
                return part.pairs / whole.pairs
            return part.tokens / whole.tokens
        case RelationsTerm():
            return part.tokens / whole.tokens
        case _:
            assert_never(term)
