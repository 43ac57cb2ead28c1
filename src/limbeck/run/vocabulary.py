"""The student's tokenizer where it is another than the teacher's: learned, or its checkpoint's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from limbeck.config.recipe import Recipe
from limbeck.data.encode import Encoded
from limbeck.data.texts import Texts
from limbeck.data.tokenizer_bytes import tokenizer_bytes
from limbeck.files import whole_folder
from limbeck.progress import say
from limbeck.run.material import Material
from limbeck.student.learned import learn_tokenizer
from limbeck.student.pieces import pieces_of
from limbeck.student.translated import OwnTokens, own_tokens_of
from limbeck.teacher.load import Checkpoint, quiet_transformers

_CHUNK = 1024


@dataclass(frozen=True)
class Lengths:
    """What another vocabulary does to the training texts.

    Attributes:
        teacher_vocabulary: Tokens that the teacher knows.
        student_vocabulary: Tokens that the student knows.
        teacher_tokens: Of a row under the teacher's tokenizer, on average.
        student_tokens: Of a row under the student's.
        teacher_cut: Texts that the teacher was not shown whole.
        student_cut: Texts that the student is not shown whole.
    """

    teacher_vocabulary: int
    student_vocabulary: int
    teacher_tokens: float
    student_tokens: float
    teacher_cut: int
    student_cut: int

    def in_words(self) -> str:
        """As a line for a person."""
        longer = self.student_tokens / max(self.teacher_tokens, 1e-9)
        return (
            f"{self.student_vocabulary:,} tokens of its own (the teacher has "
            f"{self.teacher_vocabulary:,}): rows of {self.student_tokens:.1f} tokens on average, "
            f"the teacher's of {self.teacher_tokens:.1f} ({longer:.2f}x), {self.student_cut:,} "
            f"cut (the teacher's: {self.teacher_cut:,})"
        )


def lengths_of(student: Checkpoint, teacher: Checkpoint, own: Encoded, theirs: Encoded) -> Lengths:
    """The figures of a student's tokens beside its teacher's.

    Args:
        student: Its checkpoint.
        teacher: Its teacher's.
        own: The training texts under the student's tokenizer.
        theirs: The same under the teacher's.
    """
    return Lengths(
        teacher_vocabulary=len(teacher.tokenizer),
        student_vocabulary=len(student.tokenizer),
        teacher_tokens=round(float(theirs.lengths.mean()), 2),
        student_tokens=round(float(own.lengths.mean()), 2),
        teacher_cut=theirs.cut,
        student_cut=own.cut,
    )


def own_tokens(
    recipe: Recipe, teacher: Checkpoint, material: Material, *, cache: Path
) -> OwnTokens | None:
    """The tokenizer that the recipe wants to be learned from the training texts, or None.

    Args:
        recipe: The run's.
        teacher: Its teacher, whose special tokens it has.
        material: Its texts.
        cache: Where it is kept.

    Raises:
        StudentError: If it cannot be learned, or the teacher's architecture cannot be fed it.
    """
    from transformers import PreTrainedTokenizerFast

    wanted = recipe.student.tokenizer
    if wanted is None:
        return None
    texts = material.train.texts
    digest = hashlib.blake2b(tokenizer_bytes(teacher.backend), digest_size=16)
    said = [tokenizers.__version__, texts.fingerprint(), wanted.model_dump_json()]
    about = teacher.tokenizer
    said += [str(about.model_max_length), about.padding_side, str(about.model_input_names)]
    digest.update(" ".join([*said, str(about.special_tokens_map)]).encode())
    place = cache / f"tokenizer-{digest.hexdigest()}"
    if not (place / "tokenizer.json").exists():
        made = learn_tokenizer(lambda: _written(texts), wanted, about, count=len(texts))
        with whole_folder(place) as part:
            made.save_pretrained(part)
    with quiet_transformers():
        tokenizer = PreTrainedTokenizerFast.from_pretrained(place)
    pieces = pieces_of(tokenizer, about)
    less = "" if len(tokenizer) == wanted.size else f" (the texts fill no more of {wanted.size:,})"
    say(
        f"  vocabulary: {len(tokenizer):,} {wanted.kind} tokens{less}; {pieces.same:,} are one "
        f"token of the teacher's {len(about):,}, {pieces.unknown:,} are unknown to it, the others "
        "begin as the mean of theirs"
    )
    return own_tokens_of(tokenizer, pieces, teacher)


def _written(texts: Texts) -> Iterator[Sequence[str]]:
    """All that is written in a split: of questions, a context that stands under several once."""
    yield from texts.text_batches(_CHUNK)
    if not texts.paired:
        return
    last = None
    for start in range(0, len(texts), _CHUNK):
        new = []
        for pair in texts.pairs[start : start + _CHUNK]:
            if texts.windowing is None or pair != last:
                new.append(pair)
            last = pair
        yield new


def vocabulary_facts(lengths: Lengths | None, unaligned: float | None) -> dict[str, Any]:
    """What a report says of the vocabulary; empty where it is the teacher's."""
    if lengths is None:
        return {}
    found: dict[str, Any] = {**vars(lengths)}
    if unaligned is not None:
        found["unaligned_share"] = round(unaligned, 6)
    return {"vocabulary": found}
