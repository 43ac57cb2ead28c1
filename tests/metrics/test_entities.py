"""Entities and their F1 against seqeval, the field's own count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2, Entities

from limbeck.metrics import entities, entity_counts, f1, macro_f1, micro_f1

TYPES = ["LOC", "PER"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
texts = st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=8), min_size=1, max_size=4)
thoroughly = settings(max_examples=300, deadline=None, database=None, derandomize=True)


@thoroughly
@given(tags=texts)
def test_spans_are_seqevals(tags):
    """Any sequence that a model may answer, broken ones included."""
    for one in tags:
        lenient = [(kind, first, last + 1) for kind, first, last in get_entities(one)]
        assert entities(one, strict=False) == lenient
        strict = [e.to_tuple()[1:] for e in Entities([one], IOB2).entities[0]]
        assert entities(one, strict=True) == strict


@thoroughly
@given(tags=texts, data=st.data())
def test_f1_is_seqevals(tags, data):
    """Per type and over all, in both ways to read a tag that continues nothing."""
    tag = st.sampled_from(TAGS)
    said = [data.draw(st.lists(tag, min_size=len(one), max_size=len(one))) for one in tags]
    for strict in (True, False):
        counts = entity_counts(said, tags, types=TYPES, strict=strict).sum(axis=0)
        how = {"zero_division": 0, **({"mode": "strict", "scheme": IOB2} if strict else {})}
        if not counts[:, 1:].any():
            assert micro_f1(counts) == 0
            continue
        assert micro_f1(counts) == pytest.approx(f1_score(tags, said, average="micro", **how))
        occurs = counts[:, 1:].any(axis=1)
        expected = f1_score(tags, said, average=None, **how)
        np.testing.assert_allclose(f1(counts)[occurs], expected)


def test_the_ways_to_read_a_broken_tag_differ():
    """Figures of one way must not be compared with figures of the other."""
    tags = ["O", "I-PER", "B-PER", "I-LOC"]
    assert entities(tags, strict=True) == [("PER", 2, 3)]
    assert entities(tags, strict=False) == [("PER", 1, 2), ("PER", 2, 3), ("LOC", 3, 4)]


def test_an_entity_half_found_is_not_found():
    """Words counted one by one would praise a model that never gets a name whole."""
    counts = entity_counts(
        [["B-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "B-LOC"]], types=TYPES, strict=True
    )
    assert counts.tolist() == [[[1, 1, 1], [0, 1, 1]]]
    assert macro_f1(counts.sum(axis=0)) == 0.5


def test_counts_are_of_texts():
    """An entity at one place of two texts is two."""
    counts = entity_counts([["B-PER"], ["O"]], [["B-PER"], ["B-PER"]], types=TYPES, strict=True)
    assert counts[:, 1].tolist() == [[1, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize("tag", ["S-PER", "PER", "B-", "B", "", "0"])
def test_refuses_tags_of_another_scheme(tag):
    """Spans would be cut in two, or left out."""
    with pytest.raises(ValueError, match=r"entities: tag 1 is .*IOB2"):
        entities(["O", tag], strict=True)


def test_types_may_have_hyphens():
    """Cut at the last one, B-ORG-PUBLIC is a tag of no type."""
    assert entities(["B-ORG-PUBLIC", "I-ORG-PUBLIC"], strict=True) == [("ORG-PUBLIC", 0, 2)]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ([["O"]], "predicted for 1 texts and gold ones for 2"),
        ([["O"], ["O"]], "text 1 has 1 predicted tags and 2 gold"),
        ([["B-ORG"], ["O", "O"]], "text 0 has an entity of type 'ORG'"),
    ],
)
def test_refuses_tags_that_do_not_fit(said, found):
    """Spans would shift, or a type vanish from the counts."""
    with pytest.raises(ValueError, match=f"entity_counts: .*{found}"):
        entity_counts(said, [["O"], ["B-PER", "O"]], types=TYPES, strict=True)
