"""Tags of words: how entities are written in them, and what may follow what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from limbeck.errors import DataError

TagScheme = Literal["iob2", "iob1", "bioes", "none"]
"""iob2: B-X begins an entity, I-X goes on. iob1: I-X, and B-X only between neighbors of a type.
bioes: E-X ends one and S-X is one alone (also BMES and BILOU). none: a class a word, such as its
part of speech."""

OUTSIDE = "O"
_ALIASES = {"M": "I", "L": "E", "U": "S", "W": "S"}
"""BMES and BILOU write the same in other letters."""
_ENDS = {"E", "S", "M", "L", "U", "W"}
_RULE = "in IOB2 every I-X follows B-X or I-X of the same X"


def to_iob2(tags: Sequence[str], scheme: TagScheme) -> list[str]:
    """The same entities in IOB2; tags that the scheme does not know stay for `TagCheck` to name.

    Tags in IOB2 stay as they are under iob1, but for an I-X that goes on with nothing: it becomes
    B-X. So iob1 also mends files with a few such tags.

    Args:
        tags: Of one text.
        scheme: In which they are written.
    """
    if scheme in ("iob2", "none"):
        return list(tags)
    converted: list[str] = []
    before = ""
    for tag in tags:
        prefix, kind = parted(tag)
        if scheme == "iob1" and prefix == "I":
            prefix = "I" if before == kind else "B"
        elif scheme == "bioes" and kind:
            prefix = _ALIASES.get(prefix, prefix)
            prefix = {"S": "B", "E": "I"}.get(prefix, prefix)
        before = kind
        converted.append(f"{prefix}-{kind}" if kind else tag)
    return converted


def parted(tag: str) -> tuple[str, str]:
    """B-LOC as its prefix and type; what has no type is all prefix."""
    prefix, _, kind = tag.partition("-")
    return prefix, kind


class TagCheck:
    """Refuses tags that are not IOB2, row by row; it remembers what earlier rows look like.

    Args:
        scheme: In which the tags were written: after its conversion they must be IOB2. With none
            nothing is checked.
    """

    def __init__(self, scheme: TagScheme) -> None:
        self._scheme: TagScheme = scheme
        self._free_beginnings = False
        self._entities_seen = False

    def refuse_broken(self, tags: Sequence[str], words: Sequence[str], where: str) -> None:
        """Check the tags of one row.

        Args:
            tags: As written.
            words: As many.
            where: The row, for messages.

        Raises:
            DataError: For a tag that is no B-X, I-X or O, and for an I-X that goes on with nothing:
                a student of such tags would learn entities that no count of entities can find.
        """
        if self._scheme == "none":
            return
        self._look(tags)
        before = OUTSIDE
        for place, tag in enumerate(to_iob2(tags, self._scheme)):
            prefix, kind = parted(tag)
            at = f"{where}, word {place + 1} ({words[place]!r})"
            if tag != OUTSIDE and (prefix not in ("B", "I") or not kind):
                raise self._unknown(tags[place], at)
            if prefix == "I" and before not in (f"B-{kind}", f"I-{kind}"):
                raise self._broken(tags, place, at)
            before = tag

    def _look(self, tags: Sequence[str]) -> None:
        """IOB1 has no B-X but right after another X: one elsewhere says that it is not IOB1."""
        before = ""
        for tag in tags:
            prefix, kind = parted(tag)
            self._entities_seen |= bool(kind)
            self._free_beginnings |= prefix == "B" and bool(kind) and before != kind
            before = kind

    def _unknown(self, tag: str, where: str) -> DataError:
        prefix, kind = parted(tag)
        if kind and prefix in _ENDS and self._scheme != "bioes":
            return DataError(
                where,
                f"the tag {tag!r} is none of {self._scheme.upper()}: it looks like BIOES (or BMES, "
                "BILOU), where single words and last words of entities have prefixes of their own",
                "If it is: --set data.tags=bioes, and the tags are converted to IOB2.",
            )
        return DataError(
            where,
            f"the tag {tag!r} is unknown: tags of entities are O, B-TYPE and I-TYPE",
            "Write it so; tags that are one class a word (such as parts of speech) are no task of "
            "limbeck.",
        )

    def _broken(self, tags: Sequence[str], place: int, where: str) -> DataError:
        before = f"{tags[place - 1]!r}" if place else "nothing (it is the first word)"
        found = f"the tag {tags[place]!r} follows {before}, but {_RULE}"
        if self._scheme == "iob2" and self._entities_seen and not self._free_beginnings:
            return DataError(
                where,
                f"{found}; up to here the tags look like IOB1, where I-X may begin an entity",
                "If they are: --set data.tags=iob1, and they are converted to IOB2.",
            )
        kind = parted(tags[place])[1]
        return DataError(
            where,
            found,
            f"Write B-{kind} where the entity begins, or mend the tag before it. With --set "
            f"data.tags=iob1 every I-{kind} that goes on with nothing begins an entity.",
        )


def tag_names(written: Iterable[str], scheme: TagScheme) -> list[str]:
    """The classes of a model for these tags: O first, then B-X and I-X of every type.

    Both are there for each type, whether or not the rows hold an entity of two words: a test set
    may. With the scheme none, the tags in their order.
    """
    if scheme == "none":
        return sorted(set(written))
    kinds = sorted({parted(tag)[1] for tag in written} - {""})
    return [OUTSIDE, *(f"{prefix}-{kind}" for kind in kinds for prefix in ("B", "I"))]
