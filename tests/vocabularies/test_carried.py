"""A teacher's answers of its own tokens, carried to a student's."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.recipe import DataConfig
from limbeck.config.student import TokenizerConfig
from limbeck.data.asked import Windowing
from limbeck.data.crossing import Crossing, Reader, cross
from limbeck.data.encode import encode
from limbeck.data.encoded import Encoded
from limbeck.data.questions import gather_questions
from limbeck.data.same_pieces import encode_alike
from limbeck.data.spans import SPECIAL, spans_of
from limbeck.data.squad import Answer, Question
from limbeck.data.texts import Texts, gather
from limbeck.errors import DataError
from limbeck.knowledge.carried import Carried, Windows, unheard
from limbeck.student.learned import learn_tokenizer
from limbeck.teacher.parts import Part

STATE = Part("hidden", 1)
WORDS = ["the", "film", "superb", "dreadful", "island", "story", "unseen", "rain", "xylophone"]


def _sentences(count: int, *, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(1, 9))) for _ in range(count)]


def _texts(rows: list[str]) -> Texts:
    return gather("train", [{"text": row} for row in rows], "memory", DataConfig(), labels=None)


@pytest.fixture(scope="module")
def tokenizers(
    tmp_path_factory: pytest.TempPathFactory, write_tokenizer: Callable[..., Any]
) -> tuple[Any, Any]:
    """The teacher's, and one of its student's."""
    theirs = write_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    texts = _sentences(40, seed=9)
    own = learn_tokenizer(lambda: iter([texts]), TokenizerConfig(size=80), theirs, count=40)
    return own.backend_tokenizer, theirs.backend_tokenizer


class _Told:
    """Answers that are made of nothing but the numbers of rows and tokens."""

    def __init__(self, encoded: Encoded, *, left: bool = False) -> None:
        self.encoded, self.left = encoded, left

    def row(self, row: int) -> np.ndarray:
        """A row's states [tokens, 3]."""
        return np.random.default_rng(row).normal(size=(self.encoded.lengths[row], 3))

    def logits(self, rows: np.ndarray) -> Any:
        import torch

        assert self.encoded.places is not None
        counts = np.diff(self.encoded.places.offsets)
        return torch.cat(
            [torch.from_numpy(np.random.default_rng(row).normal(size=(counts[row], 2)))
             for row in rows.tolist()]
        ).float()  # fmt: skip

    def states(self, part: Part, rows: np.ndarray, *, width: int, left: bool) -> Any:
        import torch

        assert left == self.left
        padded = np.zeros((len(rows), width, 3), dtype=np.float32)
        for place, row in enumerate(rows.tolist()):
            state = self.row(row)
            real = slice(width - len(state), width) if left else slice(0, len(state))
            padded[place, real] = state
        return torch.from_numpy(padded)


def _crossing(
    rows: list[str], own: Any, theirs: Any, folder: Path, *, limit: float = 0.0, tokens: int = 64
) -> tuple[Crossing, Encoded, Encoded]:
    texts = _texts(rows)
    mine, given = (encode(texts, one, max_tokens=tokens, folder=folder) for one in (own, theirs))
    found = cross(
        texts, Reader(own, mine), Reader(theirs, given), unaligned_limit=limit, folder=folder
    )
    return found, mine, given


@pytest.mark.parametrize("left", [False, True])
def test_carried_states_of_the_same_tokenizer_are_the_states(
    tokenizers: tuple[Any, Any], tmp_path: Path, left: bool
) -> None:
    """The way over characters must be the way over ids where both exist, to the last bit."""
    import torch

    _, theirs = tokenizers
    found, mine, given = _crossing(_sentences(30, seed=1), theirs, theirs, tmp_path)
    told = _Told(given, left=left)
    rows = np.array([4, 0, 29, 7])
    width = int(mine.lengths[rows].max()) + 3
    carried = Carried(told, found, left=left)
    state = carried.states(STATE, rows, width=width, left=left)
    assert torch.equal(state, told.states(STATE, rows, width=width, left=left))
    assert carried.count(rows) == mine.lengths[rows].sum()
    mask = carried.aligned(rows, width=width, left=left)
    assert mask.sum(1).tolist() == mine.lengths[rows].tolist()
    assert torch.equal(mask.bool(), state.abs().sum(-1) > 0)


@pytest.mark.parametrize(("left", "their_left"), [(False, True), (True, False), (False, False)])
def test_carried_states_are_means_over_shared_characters(
    tokenizers: tuple[Any, Any], tmp_path: Path, left: bool, their_left: bool
) -> None:
    """A student token held to another word's state learns another word."""
    own, theirs = tokenizers
    rows = _sentences(30, seed=2)
    found, mine, given = _crossing(rows, own, theirs, tmp_path)
    assert not np.array_equal(mine.lengths, given.lengths)
    told = _Told(given, left=their_left)
    asked = np.array([3, 11, 0])
    width = int(mine.lengths[asked].max()) + 1
    state = Carried(told, found, left=their_left).states(STATE, asked, width=width, left=left)
    for place, row in enumerate(asked.tolist()):
        student, teacher = (spans_of([t.encode(rows[row])], [rows[row]]) for t in (own, theirs))
        vectors = told.row(row)
        expected = np.zeros((len(student.starts), 3))
        for token in range(len(student.starts)):
            if student.sequences[token] == SPECIAL:
                expected[token] = vectors[0 if token == 0 else -1]
                continue
            mean = [
                vectors[other]
                for character in range(student.starts[token], student.ends[token])
                for other in range(len(teacher.starts))
                if teacher.starts[other] <= character < teacher.ends[other]
            ]
            expected[token] = np.mean(mean, axis=0)
        shift = width - len(expected) if left else 0
        got = state[place, shift : shift + len(expected)].numpy()
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_pairs_are_kept_and_read_again(tokenizers: tuple[Any, Any], tmp_path: Path) -> None:
    """A resumed run reads what was found; a file that a kill left short is found anew."""
    own, theirs = tokenizers
    rows = _sentences(20, seed=3)
    first, _, _ = _crossing(rows, own, theirs, tmp_path)
    [place] = tmp_path.glob("crossing-*")
    before = (place / "weights.bin").read_bytes()
    again, _, _ = _crossing(rows, own, theirs, tmp_path)
    one, other = (x.of(np.arange(20)) for x in (first, again))
    assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))
    (place / "weights.bin").write_bytes(before[:-4])
    _crossing(rows, own, theirs, tmp_path)
    assert (place / "weights.bin").read_bytes() == before


def test_what_the_teacher_was_not_shown_is_not_compared(
    tokenizers: tuple[Any, Any], tmp_path: Path
) -> None:
    """A text that is longer than the teacher reads is no fault of the tokenizers'."""
    own, theirs = tokenizers
    rows = ["xylophone " * 6 + "film", "film"]
    found, mine, given = _crossing(rows, own, theirs, tmp_path, tokens=20)
    assert given.cut == 1
    assert found.lost == 0
    text = rows[0]
    student, teacher = (spans_of([_cut_at(t, 20).encode(text)], [text]) for t in (own, theirs))
    behind = (student.starts >= teacher.ends.max()) & (student.sequences != SPECIAL)
    assert behind.any() == (found.aligned[0] < mine.lengths[0])
    assert mine.lengths[0] - found.aligned[0] == behind.sum()


def _cut_at(tokenizer: Any, tokens: int) -> Any:
    own = type(tokenizer).from_str(tokenizer.to_str())
    own.enable_truncation(tokens)
    return own


def test_refuses_too_many_tokens_without_a_counterpart(
    tokenizers: tuple[Any, Any], tmp_path: Path
) -> None:
    """The rest would be learned from a part of the texts that nobody chose."""
    from tokenizers import normalizers

    own, theirs = tokenizers
    deaf = type(theirs).from_str(theirs.to_str())
    deaf.normalizer = normalizers.Replace("film", "")
    rows = ["the film superb", "film film story", "rain"]
    with pytest.raises(DataError, match=r"of \d+ student tokens.*in row train/1 at characters 4") as e:  # fmt: skip  # noqa: E501
        _crossing(rows, own, deaf, tmp_path, limit=0.2)
    assert "student.unaligned_limit" in str(e.value)
    found, _, _ = _crossing(rows, own, deaf, tmp_path, limit=0.9)
    assert 0.2 < found.unaligned < 0.9


def _questions(count: int, *, seed: int) -> list[Question]:
    chance = random.Random(seed)
    found = []
    for number in range(count):
        words = chance.choices(WORDS, k=chance.choice([3, 9, 30]))
        context, wanted = " ".join(words), chance.choice(words)
        answer = Answer(wanted, f" {context} ".find(f" {wanted} "))
        found.append(Question(f"q{number}", "the story", context, (answer,)))
    return found


def _windows(own: Any, theirs: Any, folder: Path) -> tuple[Windows, Texts]:
    texts = gather_questions(
        "train", _questions(25, seed=5), "memory", windowing=Windowing(8, 12), labels=True
    )
    mine = encode(texts, own, max_tokens=40, folder=folder)
    given = encode_alike(texts, mine, own, theirs, max_tokens=200, folder=folder)
    return Windows(mine, given), texts


def _characters(encoded: Encoded, row: int) -> np.ndarray:
    """The characters of a window's places, the one for no answer first."""
    assert encoded.places is not None
    assert encoded.groups is not None
    mine = slice(*encoded.places.offsets[row : row + 2])
    tokens = encoded.places.places[mine] + encoded.offsets[row]
    return np.asarray(encoded.groups.spans).reshape(-1, 2)[tokens]


def test_the_teacher_is_asked_about_the_students_windows(
    tokenizers: tuple[Any, Any], tmp_path: Path
) -> None:
    """What it says about other characters says nothing about these."""
    windows, texts = _windows(*tokenizers, tmp_path)
    mine, given = windows.student, windows.teacher
    assert len(mine) == len(given) > len(texts)
    assert mine.groups is not None
    assert given.groups is not None
    assert np.array_equal(mine.groups.offsets, given.groups.offsets)
    assert given.cut_like
    assert not mine.cut_like
    assert given.places is not None
    assert not np.array_equal(mine.lengths, given.lengths)
    for row in range(len(mine)):
        own, theirs = _characters(mine, row)[1:], _characters(given, row)[1:]
        assert theirs[:, 0].min() <= own[:, 0].min() < theirs[:, 1].min()
        assert theirs[:, 0].max() < own[:, 1].max() <= theirs[:, 1].max()
    lost, wanted = unheard(windows, np.arange(len(mine)))
    assert lost <= 2 * (len(mine) - len(texts))  # tokens that reach over a window's edges
    assert wanted == len(given.places.places)
    again, _ = _windows(*tokenizers, tmp_path)
    assert np.array_equal(np.asarray(again.teacher.ids), np.asarray(given.ids))


def test_carried_places_of_the_same_tokenizer_are_the_places(
    tokenizers: tuple[Any, Any], tmp_path: Path
) -> None:
    """A target that is another where nothing had to be carried is another everywhere."""
    import torch

    _, theirs = tokenizers
    windows, _ = _windows(theirs, theirs, tmp_path)
    assert np.array_equal(np.asarray(windows.student.ids), np.asarray(windows.teacher.ids))
    told = _Told(windows.teacher)
    rows = np.array([7, 2, 30, 3])
    carried = Carried(told, None, left=False, windows=windows)
    assert torch.equal(carried.logits(rows), told.logits(rows))


def test_an_answer_starts_in_the_token_of_its_first_character(
    tokenizers: tuple[Any, Any], tmp_path: Path
) -> None:
    """One place further, and every answer of the student's lacks its beginning."""
    for own, theirs in (tokenizers, tokenizers[::-1]):
        windows, _ = _windows(own, theirs, tmp_path)
        told = _Told(windows.teacher)
        rows = np.array([12, 1, 9])
        carried = Carried(told, None, left=False, windows=windows).logits(rows).numpy()
        said = told.logits(rows).numpy().astype(np.float64)
        at = begin = 0
        for row in rows.tolist():
            mine, given = _characters(windows.student, row), _characters(windows.teacher, row)
            expected = np.zeros((len(mine), 2))
            for place, (start, end) in enumerate(given.tolist()):
                mass = np.exp(said[at + place])
                if place == 0:
                    expected[0] += mass
                    continue
                for side, character in enumerate((start, end - 1)):
                    token = np.flatnonzero((mine[:, 0] <= character) & (character < mine[:, 1]))
                    assert len(token) == 1 or place in (1, len(given) - 1)  # over the edge
                    expected[token, side] += mass[side]
            got = np.exp(carried[begin : begin + len(mine)].astype(np.float64))
            np.testing.assert_allclose(got, expected, rtol=1e-5)
            assert (got[1:] == 0).any() or len(mine) <= len(given)
            at, begin = at + len(given), begin + len(mine)
