"""A tokenizer learned from texts, framed by special tokens as another one frames its own.

The same texts give the same tokens. `tokenizers` alone does not: its WordPiece trainer numbers the
pieces inside words in the order of a hash table, and ties between merges go by number. Here every
single character is given its number before. Its Unigram trainer cannot be held to an order, which
is why there is none.

Reference:
    Schuster, Nakajima. Japanese and Korean voice search, 2012 (WordPiece).
    Sennrich, Haddow, Birch. Neural Machine Translation of Rare Words with Subword Units, 2016
    (byte-pair encoding). https://arxiv.org/abs/1508.07909
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from limbeck.config.student import TokenizerConfig
from limbeck.errors import StudentError
from limbeck.progress import step
from limbeck.teacher.load import backend_of

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer
    from transformers import PreTrainedTokenizerBase

GOES_ON = "##"
"""What a WordPiece token that goes on with a word begins with."""
_SEEN_TWICE = 2
"""What occurs once alone says nothing about other texts."""
_UNKNOWN = "[UNK]"
_CHUNK = 1024

Batches = Callable[[], Iterator[Sequence[str]]]
"""Goes through the texts, some at a time; may be called again."""


def learn_tokenizer(
    batches: Batches, wanted: TokenizerConfig, like: PreTrainedTokenizerBase, *, count: int
) -> PreTrainedTokenizerBase:
    """A tokenizer of the texts' own pieces, with `like`'s special tokens around them.

    Its special tokens have the first numbers, in the order of `like`'s: models that count
    positions from behind the padding token find it where it was.

    Args:
        batches: The texts.
        wanted: Kind and size; whether case is lost, or None for what `like` does.
        like: A fast tokenizer, for special tokens and where they stand, the most tokens it takes,
            the side of padding and the inputs that its model is given.
        count: How many texts there are.

    Raises:
        StudentError: If the size does not hold every single character, or the texts hold no two
            characters twice beside each other, so that nothing can be learned from them.
    """
    lowercase = loses_case(like) if wanted.lowercase is None else wanted.lowercase
    blank = _blank(wanted.kind, lowercase=lowercase)
    special = [str(token) for token in special_tokens(like)]
    unknown = str(like.unk_token) if like.unk_token is not None else None
    if wanted.kind == "wordpiece" and unknown is None:
        unknown = _UNKNOWN
        special.append(unknown)
    with step("learning a tokenizer", count) as progress:
        letters = _letters(blank, batches, wanted.kind)
        _refuse_small(wanted, special, letters)
        first = [*special, *letters]

        def told() -> Iterator[Sequence[str]]:
            for batch in batches():
                yield batch
                progress.advance(len(batch))

        blank.train_from_iterator(told(), _trainer(wanted, first))
        model = json.loads(blank.to_str())["model"]
        progress.note(f"{len(model['vocab']):,} {wanted.kind} tokens")
    if len(model["vocab"]) <= len(first):
        raise StudentError(
            "student.tokenizer",
            f"the {count} texts hold no two characters {_SEEN_TWICE} times beside each other, so "
            "that nothing is learned of them but single characters",
            "Give more texts, or leave student.tokenizer out.",
        )
    return _framed(model, blank, special, unknown, like)


def loses_case(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer reads capitals as small letters."""
    small, large = backend_of(tokenizer).encode_batch(["a word", "A WORD"])
    return small.ids == large.ids and tokenizer.unk_token_id not in small.ids


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> list[AddedToken]:
    """The special tokens of a tokenizer, by their numbers."""
    known: Any = tokenizer.added_tokens_decoder
    return [known[number] for number in sorted(known) if known[number].special]


def _blank(kind: str, *, lowercase: bool) -> Tokenizer:
    """A tokenizer of a kind that knows nothing yet."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    if kind == "wordpiece":
        blank = Tokenizer(models.WordPiece(unk_token=_UNKNOWN, continuing_subword_prefix=GOES_ON))
        blank.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        blank.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        blank.decoder = decoders.WordPiece(prefix=GOES_ON)
        return blank
    blank = Tokenizer(models.BPE())
    steps = [normalizers.NFC(), *([normalizers.Lowercase()] if lowercase else [])]
    blank.normalizer = normalizers.Sequence(steps)
    blank.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    blank.decoder = decoders.ByteLevel()
    return blank


def _letters(blank: Tokenizer, batches: Batches, kind: str) -> list[str]:
    """All pieces of one character, in an order of their own."""
    from tokenizers import pre_tokenizers

    if kind == "bpe":
        return sorted(pre_tokenizers.ByteLevel.alphabet())
    opening, inside = set[str](), set[str]()
    for batch in batches():
        for text in batch:
            normal = blank.normalizer.normalize_str(text)
            for word, _ in blank.pre_tokenizer.pre_tokenize_str(normal):
                opening.add(word[0])
                inside.update(word[1:])
    return [*sorted(opening | inside), *(GOES_ON + letter for letter in sorted(inside))]


def _trainer(wanted: TokenizerConfig, first: list[str]) -> Any:
    from tokenizers import trainers

    if wanted.kind == "wordpiece":
        return trainers.WordPieceTrainer(
            vocab_size=wanted.size,
            min_frequency=_SEEN_TWICE,
            special_tokens=first,  # numbered in this order before anything is counted
            continuing_subword_prefix=GOES_ON,
            show_progress=False,
        )
    return trainers.BpeTrainer(
        vocab_size=wanted.size,
        min_frequency=_SEEN_TWICE,
        special_tokens=first,
        show_progress=False,
    )


def _refuse_small(wanted: TokenizerConfig, special: list[str], letters: list[str]) -> None:
    least = len(special) + len(letters)
    if wanted.size > least:
        return
    what = "bytes" if wanted.kind == "bpe" else "single characters, inside words and at their head"
    raise StudentError(
        "student.tokenizer.size",
        f"{wanted.size} tokens are wanted, but {len(letters)} {what}, and {len(special)} special "
        "tokens are needed to write any text, and leave no room for longer pieces",
        f"Use more than {least}, some thousands as a rule.",
    )


def _framed(
    model: dict[str, Any],
    trained: Tokenizer,
    special: list[str],
    unknown: str | None,
    like: PreTrainedTokenizerBase,
) -> PreTrainedTokenizerBase:
    """The learned pieces as a transformers tokenizer."""
    from tokenizers import AddedToken, Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocabulary: dict[str, int] = model["vocab"]
    if model["type"] == "WordPiece":
        pieces: Any = models.WordPiece(vocabulary, unk_token=str(unknown))
    else:
        pieces = models.BPE(vocabulary, [tuple(merge) for merge in model["merges"]])
    own = Tokenizer(pieces)
    own.normalizer, own.pre_tokenizer = trained.normalizer, trained.pre_tokenizer
    own.decoder = trained.decoder
    known = {str(token): token for token in special_tokens(like)}
    own.add_special_tokens(
        [known.get(name) or AddedToken(name, special=True, normalized=False) for name in special]
    )
    own.post_processor = _frame(backend_of(like), vocabulary)
    names: dict[str, Any] = {
        key: str(token)
        for key, token in like.special_tokens_map.items()
        if isinstance(token, str | AddedToken)
    }
    if unknown is not None:
        names["unk_token"] = unknown
    return PreTrainedTokenizerFast(
        tokenizer_object=own,
        model_max_length=like.model_max_length,
        padding_side=like.padding_side,
        model_input_names=list(like.model_input_names),
        clean_up_tokenization_spaces=False,
        **names,
    )


def _frame(like: Tokenizer, vocabulary: dict[str, int]) -> Any:
    """A post-processor that puts special tokens and segments where `like` puts them."""
    from tokenizers import processors

    plain = type(like).from_str(like.to_str())
    plain.no_padding()
    plain.no_truncation()
    shapes, used = [], set[str]()
    for encoding in (plain.encode("a"), plain.encode("a", "b")):
        parts: list[str] = []
        for token, side, kind in zip(
            encoding.tokens, encoding.sequence_ids, encoding.type_ids, strict=True
        ):
            part = f"{token if side is None else '$' + 'AB'[side]}:{kind}"
            if side is None:
                used.add(token)
            if side is None or part not in parts:  # a letter may be several tokens
                parts.append(part)
        shapes.append(parts)
    return processors.TemplateProcessing(
        single=shapes[0],
        pair=shapes[1],
        special_tokens=[(token, vocabulary[token]) for token in sorted(used)],
    )
