"""Entities in texts: tags of words made into spans, and spans counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Entity = tuple[str, int, int]
"""Type, first word, and the word after its last."""


def entities(tags: Sequence[str], *, strict: bool) -> list[Entity]:
    """The entities of one text's IOB2 tags, in the order of the text.

    B-X begins an entity of type X, I-X continues it, O is outside.

    Args:
        tags: One a word: "O", "B-type" or "I-type".
        strict: What an I-X that continues no X means. True: nothing. False: it begins an entity,
            as in the CoNLL evaluation, by which most published figures were made.

    Returns:
        Type, first word and the word after the last, of every entity.

    Raises:
        ValueError: If a tag is none of the three (spans in another scheme, such as BIOES, would
            be cut wrongly).
    """
    found: list[Entity] = []
    kind, start = None, 0
    for place, tag in enumerate([*tags, "O"]):
        mark, _, name = tag.partition("-")
        if tag != "O" and (mark not in ("B", "I") or not name):
            raise ValueError(
                f"entities: tag {place} is {tag!r}. Tags must be 'O', 'B-type' or 'I-type'. "
                f"Convert other schemes to IOB2."
            )
        if mark == "I" and name == kind:
            continue
        if kind is not None:
            found.append((kind, start, place))
        begins = mark == "B" or (mark == "I" and not strict)
        kind, start = (name, place) if begins else (None, place)
    return found


def entity_counts(
    predicted: Sequence[Sequence[str]],
    gold: Sequence[Sequence[str]],
    *,
    types: Sequence[str],
    strict: bool,
) -> np.ndarray:
    """What was right, predicted and gold of every text and type, for `micro_f1` and `f1`.

    An entity is right when its type, first and last word all are.

    Args:
        predicted: A model's tags of every text.
        gold: The right ones, as many a text.
        types: Those that may occur, in the order of the counts.
        strict: As in `entities`, for both sides.

    Returns:
        Counts [texts, types, 3].

    Raises:
        ValueError: If texts or their words differ in number (spans would shift), a tag is none
            of IOB2's, or a type is not in `types`.
    """
    if len(predicted) != len(gold):
        raise ValueError(
            f"entity_counts: there are tags predicted for {len(predicted)} texts and gold ones "
            f"for {len(gold)}. They must be of the same texts. Pass one list of tags a text."
        )
    place = {name: number for number, name in enumerate(types)}
    counts = np.zeros((len(gold), len(types), 3))
    for row, (own, right) in enumerate(zip(predicted, gold, strict=True)):
        if len(own) != len(right):
            raise ValueError(
                f"entity_counts: text {row} has {len(own)} predicted tags and {len(right)} gold "
                f"ones. There must be one a word on both sides. Fill up with 'O' where a text "
                f"was cut."
            )
        said, there = set(entities(own, strict=strict)), set(entities(right, strict=strict))
        for column, spans in enumerate((said & there, said, there)):
            for kind, _, _ in spans:
                if kind not in place:
                    raise ValueError(
                        f"entity_counts: text {row} has an entity of type {kind!r}. Types are "
                        f"{list(types)}. Add it, or correct the tags."
                    )
                counts[row, place[kind], column] += 1
    return counts
