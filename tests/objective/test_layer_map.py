from collections import Counter
from itertools import combinations

import pytest
import torch

from limbeck.objective import even_layer_map, first_layer_map, last_layer_map, random_layer_map

EVERY_DEPTH = [(student, teacher) for teacher in range(1, 37) for student in range(1, teacher + 1)]


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        (3, 6, {1: 2, 2: 4, 3: 6}),
        (6, 12, {1: 2, 2: 4, 3: 6, 4: 8, 5: 10, 6: 12}),
        (4, 12, {1: 3, 2: 6, 3: 9, 4: 12}),
        (1, 12, {1: 12}),
        (3, 3, {1: 1, 2: 2, 3: 3}),
    ],
    ids=["3 of 6", "PKD-Skip and the last", "TinyBERT's g(m) = 3m", "1 of 12", "identity"],
)
def test_is_the_papers_map(student, teacher, expected):
    """A map off by one layer trains, and the student is worse for a reason nobody sees."""
    assert even_layer_map(student, teacher) == expected


def test_halves_are_rounded_up():
    """Python's round() sends 1.5 up and 2.5 down: the spread would not be even."""
    assert even_layer_map(4, 6) == {1: 2, 2: 3, 3: 5, 4: 6}
    assert even_layer_map(2, 5) == {1: 3, 2: 5}


def test_every_student_layer_has_its_own_teacher_layer_within_half_a_layer_of_even():
    """Two layers taught the same states waste one; a crossing map teaches a later layer less."""
    for student, teacher in EVERY_DEPTH:
        layers = even_layer_map(student, teacher)
        assert list(layers) == list(range(1, student + 1))
        assert list(layers.values()) == sorted(set(layers.values()))
        assert layers[student] == teacher
        assert all(
            abs(taught_by - layer * teacher / student) <= 0.5 for layer, taught_by in layers.items()
        )


@pytest.mark.parametrize(("student", "teacher"), [(7, 6), (0, 6), (-1, 6)])
def test_refuses_a_student_that_is_deeper_than_the_teacher_or_has_no_layer(student, teacher):
    """Two student layers would learn the same states, or none would learn."""
    message = rf"even_layer_map: student_layers is {student}, .*no more than.*Use a shallower"
    with pytest.raises(ValueError, match=message):
        even_layer_map(student, teacher)


def test_first_and_last_are_the_teachers_ends():
    """A map off by one layer trains, and the student is worse for a reason nobody sees."""
    assert first_layer_map(3, 12) == {1: 1, 2: 2, 3: 3}
    assert last_layer_map(3, 12) == {1: 10, 2: 11, 3: 12}


def test_last_is_pkd_last_without_the_last():
    """The paper's map for 6 layers of 12, which its page refers to."""
    layers = last_layer_map(6, 12)
    assert [layers[layer] for layer in range(1, 6)] == [7, 8, 9, 10, 11]


@pytest.mark.parametrize("choose", [even_layer_map, first_layer_map, last_layer_map])
def test_is_the_identity_between_equals(choose):
    """Each layer is then its own counterpart."""
    assert choose(4, 4) == {1: 1, 2: 2, 3: 3, 4: 4}


@pytest.mark.parametrize("choose", [first_layer_map, last_layer_map])
def test_every_student_layer_has_its_own_rising_teacher_layer(choose):
    """Two layers taught the same states waste one; a crossing map teaches a later layer less."""
    for student, teacher in EVERY_DEPTH:
        layers = choose(student, teacher)
        assert list(layers) == list(range(1, student + 1))
        assert list(layers.values()) == sorted(set(layers.values()))
        assert 1 <= layers[1] <= layers[student] <= teacher


def test_random_draws_every_rising_choice_equally_often():
    """A layer that is never drawn is never heard; one drawn twice wastes a student's layer."""
    generator = torch.Generator().manual_seed(0)
    draws = Counter(
        tuple(random_layer_map(2, 5, generator=generator).values()) for _ in range(4000)
    )
    assert set(draws) == set(combinations(range(1, 6), 2))
    assert all(abs(count - 400) < 100 for count in draws.values())


def test_random_is_the_generators_alone():
    """A resumed run must draw what the straight one drew, and leave its dropout's numbers alone."""
    before = torch.random.get_rng_state()
    first, again = (
        [random_layer_map(3, 12, generator=generator) for _ in range(5)]
        for generator in (torch.Generator().manual_seed(7), torch.Generator().manual_seed(7))
    )
    assert first == again
    assert len({tuple(layers.values()) for layers in first}) > 1
    assert all(list(layers) == [1, 2, 3] for layers in first)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("student", "teacher"), [(7, 6), (0, 6), (-1, 6)])
def test_others_refuse_a_student_that_is_deeper_than_the_teacher_or_has_no_layer(student, teacher):
    """Two student layers would learn the same states, or none would learn."""
    message = rf"_layer_map: student_layers is {student}, .*no more than.*Use a shallower"
    with pytest.raises(ValueError, match="first" + message):
        first_layer_map(student, teacher)
    with pytest.raises(ValueError, match="last" + message):
        last_layer_map(student, teacher)
    with pytest.raises(ValueError, match="random" + message):
        random_layer_map(student, teacher, generator=torch.Generator())
