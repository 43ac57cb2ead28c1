import pytest

from limbeck.objective import even_layer_map

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
