"""Retrieval accuracy of translations, against a search that is written out."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.metrics.translation import translation_hits


def _vectors(rows: int, languages: int, noise: float) -> np.ndarray:
    generator = np.random.default_rng(0)
    meaning = generator.normal(size=(rows, 1, 8))
    return meaning + noise * generator.normal(size=(rows, languages, 8))


def test_hits_are_those_of_scikit_learns_nearest_neighbors() -> None:
    """Another library's search must find the same."""
    from sklearn.neighbors import NearestNeighbors

    vectors = _vectors(700, 3, 0.3)  # more than a chunk
    hits = translation_hits(vectors)
    own = np.arange(len(vectors))
    for side in (1, 2):
        for place, (queries, documents) in enumerate(
            [(vectors[:, side], vectors[:, 0]), (vectors[:, 0], vectors[:, side])]
        ):
            search = NearestNeighbors(n_neighbors=1, metric="cosine").fit(documents)
            found = search.kneighbors(queries, return_distance=False)[:, 0]
            np.testing.assert_array_equal(hits[:, side - 1, place], found == own)
    assert 0.1 < hits.mean() < 0.95


def test_vectors_that_are_all_alike_find_nothing() -> None:
    """A student that collapsed must not look perfect."""
    assert translation_hits(np.ones((5, 2, 3))).sum() == 0


def test_lengths_do_not_count() -> None:
    """Cosines are compared: long vectors are no better."""
    vectors = _vectors(50, 2, 0.5)
    scaled = vectors * np.random.default_rng(1).uniform(0.1, 10, size=(50, 2, 1))
    np.testing.assert_array_equal(translation_hits(vectors), translation_hits(scaled))


@pytest.mark.parametrize("shape", [(1, 2, 3), (4, 1, 3), (4, 3)])
def test_refuses_what_cannot_be_searched(shape: tuple[int, ...]) -> None:
    """Of one row every search is a hit."""
    with pytest.raises(ValueError, match="two rows and two languages"):
        translation_hits(np.ones(shape))
