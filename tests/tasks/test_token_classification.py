"""Tags of words: how they are read, counted and told."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.data.per_word import WordOutputs, WordTargets
from limbeck.data.places import NOWHERE, SHARED
from limbeck.data.worded import WordedText
from limbeck.errors import DataError, TeacherError
from limbeck.tasks.known import task_of_rows
from limbeck.tasks.task import agreement, score
from limbeck.tasks.token_classification import TokenClassification, entities_said, tags_said

NAMES = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
TASK = TokenClassification()


def _said(tags: list[list[str]], places: list[int] | None = None) -> WordOutputs:
    flat = [NAMES.index(tag) for row in tags for tag in row]
    offsets = np.cumsum([0, *map(len, tags)])
    told = np.arange(len(flat)) if places is None else np.array(places)
    return WordOutputs(4.0 * np.eye(len(NAMES))[flat], offsets, told.astype(np.int32))


def _wanted(tags: list[list[str]]) -> WordTargets:
    flat = [NAMES.index(tag) for row in tags for tag in row]
    return WordTargets(np.array(flat), np.cumsum([0, *map(len, tags)]), NAMES)


def test_an_entity_is_right_as_a_whole_or_not_at_all() -> None:
    """Half a name is a wrong name: 1 right of 2 said and 2 there is an F1 of one half."""
    gold = [["B-PER", "I-PER", "O"], ["B-LOC"]]
    said = [["B-PER", "O", "O"], ["B-LOC"]]
    assert score(TASK, _said(said), _wanted(gold)) == pytest.approx(0.5)
    measured = TASK.measures(_said(said), _wanted(gold), NAMES)
    assert measured.per_class["LOC"] == {"precision": 1, "recall": 1, "f1": 1, "support": 1}
    assert measured.per_class["PER"]["f1"] == 0
    assert measured.metrics["word_accuracy"] == pytest.approx(0.75)


def test_words_that_were_cut_off_are_misses() -> None:
    """A model that is shown half a text must not be judged on that half alone."""
    gold = [["B-PER", "O", "B-LOC"]]
    cut = _said(gold, [1, 2, NOWHERE])
    assert tags_said(cut, NAMES) == [["B-PER", "O", "O"]]
    assert score(TASK, cut, _wanted(gold)) == pytest.approx(2 / 3)


def test_a_word_inside_a_token_goes_on_with_its_entity() -> None:
    """Nothing else can be told of it, and O would cut the entity in two."""
    outputs = _said([["B-LOC", "O", "I-LOC"]], [1, SHARED, 2])
    assert tags_said(outputs, NAMES) == [["B-LOC", "I-LOC", "I-LOC"]]


def test_one_changed_word_changes_its_row() -> None:
    """Flips of the gate and agreement are counted in texts."""
    one = _said([["O", "O"], ["B-LOC"], ["O"]])
    other = _said([["O", "B-PER"], ["B-LOC"], ["O"]])
    assert TASK.changed(one, other).tolist() == [True, False, False]
    assert agreement(TASK, one, other) == pytest.approx(2 / 3)
    assert (TASK.distance(one, other) > 0).tolist() == [True, False, False]


def test_entities_have_characters_and_the_least_sure_words_probability() -> None:
    """A user marks text with them."""
    answer = TASK.answers(_said([["B-PER", "I-PER", "O"]]))
    answer.values[1] = [0.3, 0.0, 0.0, 0.1, 0.6]
    [found] = entities_said(WordedText("Anna Lee sat", ((0, 4), (5, 8), (9, 12))), answer, NAMES)
    assert (found.type, found.start, found.end, found.text) == ("PER", 0, 8, "Anna Lee")
    assert found.probability == pytest.approx(0.6)
    assert TASK.said(answer, NAMES).words == "PER (words 1-2)"


def test_refuses_a_teacher_whose_types_are_numbered_otherwise() -> None:
    """Most words are O whatever the numbering, so that they alone would hide a swap."""
    gold = [["O"] * 30 + ["B-LOC", "B-PER"]] * 10
    swapped = [["O"] * 30 + ["B-PER", "B-LOC"]] * 10
    TASK.refuse_stranger(_said(gold), _wanted(gold), NAMES, where="here")
    with pytest.raises(TeacherError, match="label order differs"):
        TASK.refuse_stranger(_said(swapped), _wanted(gold), NAMES, where="here")


def test_refuses_rows_without_any_entity() -> None:
    """Tags that are all O teach nothing but silence."""
    with pytest.raises(DataError, match="all tags are O"):
        TASK.refuse_unlearnable(_wanted([["O", "O"]]), NAMES, "train.jsonl")


def test_rows_of_words_are_known_by_their_tokens() -> None:
    """`teach` must not ask for a task that the rows show; a text beside tokens is a text."""
    from limbeck.config.recipe import DataConfig

    row = {"tokens": ["in", "Rome"], "ner_tags": ["O", "B-LOC"]}
    assert task_of_rows(row, DataConfig(), "auto").name == "token_classification"
    both = {**row, "text": "in Rome", "label": 1}
    assert task_of_rows(both, DataConfig(), "auto").name == "single_label"
