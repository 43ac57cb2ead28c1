"""Teachers whose classes are numbered otherwise than the data's."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.errors import TeacherError
from limbeck.tasks.label_order import check_label_order


def test_finds_classes_that_are_numbered_otherwise() -> None:
    """Integer labels in another order train every row towards a wrong class."""
    labels = np.arange(60) % 3
    logits = np.eye(3)[[1, 2, 0]][labels]
    with pytest.raises(TeacherError, match=r"label order differs.*right on 0\.0%.*be on 100\.0%"):
        check_label_order(logits, labels, ["a", "b", "c"], where="teacher")
    check_label_order(np.eye(3)[labels], labels, ["a", "b", "c"], where="teacher")


def test_a_weak_teacher_is_not_taken_for_a_permuted_one() -> None:
    """Chance must not look like another numbering."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 200)
    check_label_order(generator.normal(size=(200, 4)), labels, list("abcd"), where="teacher")
