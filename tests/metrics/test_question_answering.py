"""SQuAD's scores, from worked examples of its rules."""

import numpy as np
import pytest

from limbeck.metrics import exact_match, normalized_answer, token_f1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Quick\tBrown fox.", "quick brown fox"),
        ("an A-team", "ateam"),
        ("a.m.", "am"),
        ("theatre and another", "theatre and another"),
        ("U.S.A.'s", "usas"),
        ("The", ""),
        ("« Ça va »", "« ça va »"),
    ],
)
def test_normalization_is_squads(text, expected):
    """Articles are taken after punctuation: 'a.m.' is one word and 'A-team' has no article."""
    assert normalized_answer(text) == expected


@pytest.mark.parametrize(
    ("prediction", "answers", "exact", "shared"),
    [
        ("the Eiffel Tower", ["Eiffel tower!"], 1, 1),
        ("Eiffel Tower in Paris", ["the Eiffel Tower"], 0, 2 / 3),
        ("Eiffel Tower in Paris", ["Paris", "the Eiffel Tower"], 0, 2 / 3),
        ("Paris", ["the Eiffel Tower", "Paris"], 1, 1),
        ("no no no", ["no"], 0, 1 / 2),
        ("London", ["Paris"], 0, 0),
        ("", [], 1, 1),
        ("Paris", [], 0, 0),
        ("", ["Paris"], 0, 0),
        ("the", [], 1, 1),
        ("", ["the", "Paris"], 0, 0),
    ],
)
def test_scores_are_squads(prediction, answers, exact, shared):
    """The best answer counts, words as often as they are there, and saying nothing of nothing."""
    assert exact_match([prediction], [answers]).tolist() == [exact]
    assert token_f1([prediction], [answers]) == pytest.approx([shared])


def test_values_are_of_questions():
    """A mean that came too early cannot be resampled."""
    found = token_f1(["Paris", ""], [["London"], []])
    np.testing.assert_array_equal(found, [0, 1])


@pytest.mark.parametrize("score", [exact_match, token_f1])
def test_refuses_predictions_of_other_questions(score):
    """Each would be compared with another question's answer."""
    with pytest.raises(ValueError, match=f"{score.__name__}: there are 1 predictions"):
        score(["Paris"], [["Paris"], ["London"]])
