"""Splits that do not leak."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.config.recipe import DataConfig
from limbeck.data.split import stratified_holdout, without_leaks
from limbeck.data.texts import folded_hashes
from limbeck.errors import DataError
from limbeck.run.material import gather_material
from limbeck.tasks.single_label import SINGLE_LABEL

Make = Callable[..., Any]


@pytest.mark.parametrize(
    "copy", ["Hello  World", "hello\tworld ", "ｈｅｌｌｏ world", "HELLO WORLD"]
)
def test_copies_under_case_width_and_space_are_dropped_from_training(
    texts_of: Make, copy: str
) -> None:
    """A test text that was trained on measures memory."""
    kept, dropped = without_leaks(texts_of([copy, "other"]), [texts_of(["hello world"])])
    assert (list(kept.texts), dropped) == (["other"], 1)
    assert list(kept.ids) == ["train/2"]


def test_different_texts_are_kept(texts_of: Make) -> None:
    """Only what a reader would call the same text is a copy."""
    kept, dropped = without_leaks(
        texts_of(["hello worlds", "helloworld"]), [texts_of(["hello world"])]
    )
    assert (len(kept), dropped) == (2, 0)


_ROWS = st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 30)), min_size=2, max_size=80)


@settings(deadline=None, max_examples=200)
@given(rows=_ROWS, share=st.sampled_from([0.05, 0.1, 0.3, 0.9]), seed=st.integers(0, 5))
def test_a_holdout_never_leaks_and_never_loses_a_class(
    rows: list[tuple[int, int]], share: float, seed: int
) -> None:
    """Repeated texts on both sides flatter the score; a lost class is never learned."""
    labels = np.array([-100 if label < 0 else label for label, _ in rows])
    hashes = np.array([text for _, text in rows], dtype=np.uint64)
    try:
        kept, held = stratified_holdout(labels, hashes, share=share, seed=seed, source="x")
    except DataError:
        texts = [{text for one, text in rows if one == label} for label in range(4)]
        shared = [text for mine in texts if len(mine) > 1 for text in mine]
        movable = [text for text in shared if all(len(mine) > 1 for mine in texts if text in mine)]
        assert not movable
        return
    assert not set(hashes[kept].tolist()) & set(hashes[held].tolist())
    assert (labels[held] >= 0).all()
    assert set(labels[labels >= 0].tolist()) == set(labels[kept][labels[kept] >= 0].tolist())
    again = stratified_holdout(labels, hashes, share=share, seed=seed, source="x")
    assert np.array_equal(kept, again[0])
    assert np.array_equal(held, again[1])


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_every_class_gives_its_share(share: float) -> None:
    """A rare class would be missing from validation by chance."""
    labels = np.repeat([0, 1, 2], [600, 100, 20])
    kept, held = stratified_holdout(
        labels, np.arange(720, dtype=np.uint64), share=share, seed=0, source="x"
    )
    assert np.bincount(labels[held]).tolist() == [600 * share, 100 * share, 20 * share]
    assert len(kept) + len(held) == 720


def test_a_class_of_two_rows_stands_on_both_sides() -> None:
    """It can be learned and judged."""
    labels = np.array([0] * 10 + [1] * 2)
    kept, held = stratified_holdout(
        labels, np.arange(12, dtype=np.uint64), share=0.1, seed=0, source="x"
    )
    assert set(labels[kept]) == set(labels[held]) == {0, 1}


def test_a_class_whose_rows_are_one_text_stays_in_training() -> None:
    """Held out as a whole it could not be learned."""
    labels = np.array([0] * 10 + [1] * 3)
    hashes = np.array([*range(10), 99, 99, 99], dtype=np.uint64)
    kept, held = stratified_holdout(labels, hashes, share=0.3, seed=0, source="x")
    assert (labels[kept] == 1).sum() == 3
    assert len(held) == 3


def test_another_seed_gives_another_split() -> None:
    """Else the seed in the recipe would be a lie."""
    labels, hashes = np.repeat([0, 1], 50), np.arange(100, dtype=np.uint64)
    one, two = (
        stratified_holdout(labels, hashes, share=0.2, seed=seed, source="x")[1] for seed in (0, 1)
    )
    assert not np.array_equal(one, two)


def test_refuses_too_few_rows_to_hold_any_out() -> None:
    """One row a class cannot be on both sides."""
    with pytest.raises(DataError, match="too few to hold some out"):
        stratified_holdout(
            np.array([0, 1]), np.arange(2, dtype=np.uint64), share=0.5, seed=0, source="x"
        )


def _csv(path: Any, rows: list[tuple[str, str]]) -> str:
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return str(path)


def test_material_counts_what_it_dropped(tmp_path: Any) -> None:
    """A dropped row that nobody is told of looks like a bug in the data."""
    train = [(f"text {i}", str(i % 2)) for i in range(20)]
    test = [("TEXT 3", "1"), ("new", "0"), ("text  4", "0")]
    more = tmp_path / "more.txt"
    more.write_text("text 5\nnew\nfresh\nFresh\n")
    material = gather_material(
        DataConfig(
            train=_csv(tmp_path / "train.csv", train),
            test=_csv(tmp_path / "test.csv", test),
            unlabelled=(str(more),),
            validation_share=0.2,
        ),
        ["0", "1"],
        task=SINGLE_LABEL,
        seed=0,
    )
    counts = material.counts
    assert counts["train_rows"] == 20
    assert counts["train_rows_dropped"] == 2
    assert counts["validation_rows"] == 4
    assert counts["unlabelled_rows"] == 4
    assert counts["unlabelled_rows_dropped"] == 3
    assert counts["train_rows_labelled"] == 14
    assert counts["train_rows_used"] == 15
    assert material.train.labels.tolist()[-1] == -100
    trained = set(folded_hashes(material.train.texts).tolist())
    for held in (material.validation, material.test):
        assert not trained & set(folded_hashes(held.texts).tolist())


def test_labels_stay_with_their_texts_through_the_whole_split(tmp_path: Any) -> None:
    """A shifted label column trains towards noise at a plausible loss."""
    rows = [(f"text {i}", str(i % 3)) for i in range(60)]
    test = [(f"text {i}", str(i % 3)) for i in range(0, 60, 7)]
    material = gather_material(
        DataConfig(train=_csv(tmp_path / "a.csv", rows), test=_csv(tmp_path / "b.csv", test)),
        ["0", "1", "2"],
        task=SINGLE_LABEL,
        seed=3,
    )
    for part in (material.train, material.validation, material.test):
        expected = [int(text.split()[1]) % 3 for text in part.texts.texts]
        assert part.labels.tolist() == expected


def test_refuses_training_rows_that_all_stand_in_validation(tmp_path: Any) -> None:
    """The same file given twice is a slip, and nothing would be left to train on."""
    path = _csv(tmp_path / "a.csv", [("a", "0"), ("b", "1")])
    with pytest.raises(DataError, match="nothing is left to train on"):
        gather_material(
            DataConfig(train=path, validation=path), ["0", "1"], task=SINGLE_LABEL, seed=0
        )


def test_refuses_unlabelled_rows_where_rows_are_judged(tmp_path: Any) -> None:
    """A row without a label cannot be right or wrong."""
    train = _csv(tmp_path / "a.csv", [(f"t{i}", str(i % 2)) for i in range(9)])
    test = _csv(tmp_path / "b.csv", [("x", "0"), ("y", "")])
    with pytest.raises(DataError, match=r"1 of 2 rows have no label, test/2 the first"):
        gather_material(DataConfig(train=train, test=test), ["0", "1"], task=SINGLE_LABEL, seed=0)


def test_unlabelled_files_are_numbered_on(tmp_path: Any) -> None:
    """Two rows of one id: an error would name a row that nobody can find, and answers move."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(f"{name} a\n{name} b\n{name} a\n")
    labelled = [(f"t{i}", str(i % 2)) for i in range(4)]
    train = _csv(tmp_path / "a.csv", labelled)
    test = _csv(tmp_path / "b.csv", [("x", "0")])
    files = tuple(str(tmp_path / f"{name}.txt") for name in ("one", "two"))
    data = DataConfig(train=train, validation=test, unlabelled=files)
    texts = gather_material(data, ["0", "1"], task=SINGLE_LABEL, seed=0).train.texts
    unlabelled = [f"unlabelled/{number}" for number in (1, 2, 4, 5)]
    assert list(texts.ids) == [f"train/{number}" for number in range(1, 5)] + unlabelled
    assert list(texts.texts)[4:] == ["one a", "one b", "two a", "two b"]
