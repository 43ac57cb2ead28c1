"""Differences are told in the unit of the score."""

from __future__ import annotations

from limbeck.evaluation.report import Span
from limbeck.evaluation.words import alike, amount, change, luck
from limbeck.tasks.sentence_embeddings import SentenceEmbeddings

LESS = Span(value=-0.0123, low=-0.02, high=0.001)


def test_shares_differ_by_points() -> None:
    """Two shares differ by points, and not by percent of each other."""
    assert change(LESS, "accuracy") == "-1.23 points (interval -2.00 to +0.10)"
    assert amount(-0.0123, "micro F1") == "1.23 points"
    assert luck(400, "micro F1") == "5 points"


def test_correlations_and_cosines_differ_by_themselves() -> None:
    """Such a score is a share of nothing, so that a point of it has no meaning."""
    assert change(LESS, "Spearman") == "-0.0123 (interval -0.0200 to +0.0010)"
    assert amount(-0.0123, "Spearman") == "0.0123"
    assert luck(400, "Spearman") == "0.05"
    unscored = SentenceEmbeddings().score_name
    assert change(LESS, unscored) == "-0.0123 (interval -0.0200 to +0.0010)"


def test_numbers_are_never_quite_alike() -> None:
    """What counts as alike is a tolerance there."""
    assert alike(0.5, "9 rows", "accuracy") == "answers 50.0% of 9 rows as the teacher does"
    assert alike(0.5, "9 rows", "Spearman") == "answers 50.0% of 9 rows about as the teacher does"
