"""Which layers are compared, and what is refused before training."""

from __future__ import annotations

import pytest

from limbeck.config.terms import (
    AttentionTerm,
    ExitsTerm,
    HardTerm,
    HiddenTerm,
    LogitsTerm,
    RelationsTerm,
    SimilarityTerm,
    Term,
)
from limbeck.errors import RecipeError
from limbeck.teacher.parts import Part, hidden_parts
from limbeck.training.layer_maps import (
    Depths,
    needs_teacher,
    student_parts,
    teacher_parts,
    teacher_parts_in_step,
    with_layer_maps,
)

DEPTHS = Depths(3, 12)


def test_layers_are_matched_evenly_by_default() -> None:
    """The last student layer must see the last teacher layer."""
    terms = with_layer_maps((HiddenTerm(),), DEPTHS)
    assert isinstance(terms[0], HiddenTerm)
    assert terms[0].layer_map == {1: 4, 2: 8, 3: 12}
    assert student_parts(terms, DEPTHS, distributions=False) == hidden_parts((1, 2, 3))
    assert teacher_parts(terms, DEPTHS) == hidden_parts((4, 8, 12))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("uniform", {1: 4, 2: 8, 3: 12}),
        ("uniform_and_embeddings", {0: 0, 1: 4, 2: 8, 3: 12}),
        ("skip", {1: 4, 2: 8}),
        ("first", {1: 1, 2: 2, 3: 3}),
        ("last", {1: 10, 2: 11, 3: 12}),
        ("last_alone", {3: 12}),
    ],
)
def test_each_rule_is_the_map_that_it_is_named_after(rule: str, expected: dict[int, int]) -> None:
    """TinyBERT, Patient KD and MiniLM differ in just this."""
    (term,) = with_layer_maps((HiddenTerm.model_validate({"layer_map": rule}),), DEPTHS)
    assert isinstance(term, HiddenTerm)
    assert term.layer_map == expected


@pytest.mark.parametrize("layer_map", [{3: 14}, {4: 1}, {-1: 2}])
def test_refuses_layers_that_a_model_does_not_have(layer_map: dict[int, int]) -> None:
    """It would fail in the first step, an hour of recording later."""
    with pytest.raises(RecipeError, match=r"objective\.terms\[1\]\.layer_map.*layers \(0 is"):
        with_layer_maps((HardTerm(), HiddenTerm(layer_map=layer_map)), DEPTHS)


def test_refuses_attention_of_the_embeddings() -> None:
    """Layer 0 attends to nothing."""
    with pytest.raises(RecipeError, match="embeddings attend to nothing"):
        with_layer_maps((AttentionTerm(layer_map={0: 0}),), DEPTHS)


def test_refuses_rules_that_need_a_deeper_teacher_or_student() -> None:
    """Two student layers on one teacher layer learn the same thing twice."""
    with pytest.raises(RecipeError, match="the student has 4 layers and the teacher 2"):
        with_layer_maps((HiddenTerm(),), Depths(4, 2))
    with pytest.raises(RecipeError, match="leaves the last layer out"):
        with_layer_maps((HiddenTerm(layer_map="skip"),), Depths(1, 2))


def test_refuses_exits_that_are_no_exits() -> None:
    """The last layer has the student's own head."""
    with pytest.raises(RecipeError, match=r"objective\.terms\[0\]\.layers.*after layer 3"):
        with_layer_maps((ExitsTerm(layers=(1, 3)),), DEPTHS)
    with pytest.raises(RecipeError, match="a student of 2 layers or more"):
        with_layer_maps((ExitsTerm(),), Depths(1, 4))
    (term,) = with_layer_maps((ExitsTerm(),), DEPTHS)
    assert isinstance(term, ExitsTerm)
    assert term.layers == (1, 2)


def test_the_message_is_that_of_the_style_guide() -> None:
    """Where, what was found, what is allowed, what to do."""
    with pytest.raises(RecipeError) as caught:
        with_layer_maps((HardTerm(), HiddenTerm(layer_map={3: 14})), DEPTHS)
    assert str(caught.value) == (
        "objective.terms[1].layer_map: student layer 3 is matched to teacher layer 14, but the "
        "teacher has 12 layers (0 is the embedding output, 12 the last)\n"
        "Use a teacher layer from 0 to 12, or delete layer_map for the default."
    )


def test_each_term_asks_for_the_parts_that_it_compares() -> None:
    """A part that is not recorded is missed in the first step; one too many costs gigabytes."""
    terms: tuple[Term, ...] = (
        HardTerm(), LogitsTerm(), AttentionTerm(layer_map={1: 4}), ExitsTerm(layers=(2,)),
        RelationsTerm(of=("values",), layer_map={3: 12}), SimilarityTerm(layer_map={3: 11}),
    )  # fmt: skip
    assert set(teacher_parts(terms, DEPTHS)) == {
        Part("queries", 4), Part("keys", 4), Part("values", 12), Part("hidden", 11),
    }  # fmt: skip
    assert set(student_parts(terms, DEPTHS, distributions=True)) == {
        Part("queries", 1), Part("keys", 1), Part("values", 3), Part("hidden", 3),
        Part("hidden", 2),
    }  # fmt: skip
    kl: tuple[Term, ...] = (AttentionTerm(distance="kl", layer_map={1: 4}),)
    assert teacher_parts(kl, DEPTHS) == (Part("attention", 4),)
    assert student_parts(kl, DEPTHS, distributions=True) == (Part("attention", 1),)
    assert set(student_parts(kl, DEPTHS, distributions=False)) == {
        Part("queries", 1), Part("keys", 1),
    }  # fmt: skip


def test_a_map_drawn_in_each_step_needs_all_layers_once_and_few_of_them_each_time() -> None:
    """Reading twelve layers for three of them would make each step four times as dear."""
    terms = with_layer_maps((HiddenTerm(layer_map="random"),), DEPTHS)
    assert teacher_parts(terms, DEPTHS) == hidden_parts(range(1, 13))
    drawn = [teacher_parts_in_step(terms, DEPTHS, seed=1, number=n) for n in range(1, 30)]
    assert {len(parts) for parts in drawn} == {3}
    assert len(set(drawn)) > 5
    assert drawn[0] == teacher_parts_in_step(terms, DEPTHS, seed=1, number=1)


@pytest.mark.parametrize(
    ("terms", "needed"),
    [
        ((HardTerm(),), False),
        ((HardTerm(), ExitsTerm()), False),
        ((HardTerm(), SimilarityTerm()), True),
        ((LogitsTerm(),), True),
    ],
)
def test_a_teacher_is_needed_where_a_term_looks_at_it(
    terms: tuple[Term, ...], needed: bool
) -> None:
    """Asking a teacher that nobody listens to costs as much as the training."""
    assert needs_teacher(terms) is needed
