"""Answers and their scores against brute force and hand-made figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.recipe import DataConfig
from limbeck.data.asked import Asked, Windowing
from limbeck.data.encode import encode
from limbeck.data.layout import layout_of
from limbeck.data.per_question import SpanOutputs, SpanTargets
from limbeck.data.per_word import finite, together
from limbeck.data.questions import QuestionRows, gather_questions
from limbeck.data.squad import Answer, Question
from limbeck.data.targets import labelled, row_targets, strata, with_none
from limbeck.data.texts import Texts, folded_hashes, kinship
from limbeck.data.window_rows import row_ids
from limbeck.errors import DataError
from limbeck.metrics.question_answering import token_f1
from limbeck.tasks.question_answering import LONGEST, QuestionAnswering
from limbeck.tasks.settling import facts_of, settled, task_from
from limbeck.tasks.task import says_one_thing, score

TASK = QuestionAnswering()
CONTEXT = "the man saw anna smith in oslo and a dog on an island by the sea with rain"


def _questions(contexts: int = 6) -> list[Question]:
    made = []
    for number in range(contexts):
        context = f"{CONTEXT} " * number + CONTEXT
        start = context.rindex("anna")
        answers = {0: None, 1: ()}.get(number, (Answer("anna smith", start), Answer("anna", start)))
        made.append(Question(f"q{number}", "who was it", context, answers))
    return made


def _texts(questions: list[Question], **more: Any) -> Texts:
    windowing = Windowing(more.pop("stride", 12), 6)
    return gather_questions("train", questions, "memory", windowing=windowing, labels=True, **more)


@pytest.fixture
def backend(write_tokenizer: Callable[..., Any], tmp_path: Path) -> Any:
    return write_tokenizer(tmp_path / "tokenizer").backend_tokenizer


def _random(counts: list[int], seed: int = 0) -> SpanOutputs:
    """Outputs of questions with windows of as many tokens; one token in ten is no character's."""
    generator = np.random.default_rng(seed)
    spans, ends = [], [0]
    for question in range(0, len(counts), 2):
        for window in counts[question : question + 2]:
            starts = np.cumsum(generator.integers(1, 5, window))
            stops = np.where(generator.random(window) < 0.1, starts, starts + 1)
            spans += [[-1, -1], *np.stack([starts, stops], 1).tolist()]
        ends.append(len(spans))
    values = generator.normal(size=(len(spans), 2)).astype(np.float32)
    return SpanOutputs(values, np.array(ends), np.array(spans, dtype=np.int32).reshape(-1, 2))


def _by_hand(outputs: SpanOutputs, row: int) -> tuple[tuple[int, int], float, float, float]:
    """Span, score and probability of the best answer, and the least score of no answer."""
    places = range(outputs.offsets[row], outputs.offsets[row + 1])
    windows = [place for place in places if outputs.spans[place, 0] < 0] + [places.stop]
    found = []
    for first, end in pairwise(windows):
        real = [p for p in range(first + 1, end) if outputs.spans[p, 1] > outputs.spans[p, 0]]
        sums = np.exp(outputs.values[[first, *real]].astype(np.float64)).sum(0).prod()
        nothing = float(outputs.values[first].sum())
        for a in real:
            for b in real:
                if a <= b < a + LONGEST:
                    total = float(outputs.values[a, 0] + outputs.values[b, 1])
                    span = (int(outputs.spans[a, 0]), int(outputs.spans[b, 1]))
                    found.append((total, span, np.exp(total) / sums))
        found.append((-np.inf, (-1, -1), nothing))
    total, span, share = max(found[:], key=lambda one: one[0])
    return span, total, share, min(one[2] for one in found if one[0] == -np.inf)


def test_answers_are_the_best_of_all_spans_of_all_windows() -> None:
    """Against every pair of tokens; a start without its end in the window is no answer."""
    outputs = _random([5, 40, 1, 3, 60, 7, 0, 9])
    told = TASK.answers(outputs)
    for row in range(len(outputs)):
        span, _, share, _ = _by_hand(outputs, row)
        assert tuple(told.spans[row]) == span
        assert told.probabilities[row] == pytest.approx(share, rel=1e-5)


def test_no_answer_is_told_where_it_beats_every_piece() -> None:
    """And its probability is that of the window that looks most like an answer."""
    outputs = _random([5, 40, 1, 3, 60, 7, 2, 9], seed=1)
    outputs.values[outputs.spans[:, 0] < 0] += 1.2
    told = QuestionAnswering(no_answer=True).answers(outputs)
    nothing = 0
    for row in range(len(outputs)):
        span, total, _, least = _by_hand(outputs, row)
        expected = (-1, -1) if least > total else span
        nothing += least > total
        assert tuple(told.spans[row]) == expected
    assert 0 < nothing < len(outputs)
    assert (TASK.answers(outputs).spans >= 0).all()


def test_broken_outputs_are_told_as_such_and_break_nothing() -> None:
    """The gate names an export that overflows; it must reach the gate."""
    outputs = _random([5, 4, 3, 3])
    outputs.values[2] = np.inf
    outputs.values[9] = np.nan
    assert not finite(outputs)
    assert len(TASK.answers(outputs).spans) == 2
    assert TASK.changed(outputs, _random([5, 4, 3, 3])).shape == (2,)


def test_outputs_are_indexed_and_joined_by_questions() -> None:
    """Code that sorts rows knows nothing of windows."""
    outputs = _random([5, 40, 1, 3, 60, 7])
    picked = outputs[[2, 0]]
    assert np.array_equal(TASK.answers(picked).spans, TASK.answers(outputs).spans[[2, 0]])
    both = together([outputs[[0, 1]], outputs[2]])
    assert np.array_equal(both.values, outputs.values)
    assert np.array_equal(both.offsets, outputs.offsets)
    assert np.array_equal(both.spans, outputs.spans)


def test_gold_places_come_back_as_gold_answers(backend: Any, tmp_path: Path) -> None:
    """Through windows, places and characters; a window without the answer says that."""
    questions = _questions()
    texts = _texts(questions)
    encoded = encode(texts, backend, max_tokens=48, folder=tmp_path)
    assert encoded.groups is not None
    assert encoded.places is not None
    answers = row_targets(None, encoded)
    assert answers.shape == (len(encoded), 2)
    assert (answers[encoded.groups.texts(np.arange(len(encoded))) == 0] == -100).all()
    assert (answers[encoded.groups.texts(np.arange(len(encoded))) == 1] == 0).all()
    outputs = _outputs_of(encoded, answers)
    task = settled(TASK, DataConfig(), [texts])
    assert isinstance(task, QuestionAnswering)
    assert task.no_answer
    targets = task.targets(texts, [], source="memory")
    told = targets.texts(task.answers(outputs).spans)
    assert told[1:] == ["", *["anna smith"] * 4]
    assert score(task, outputs[[1, 2, 3, 4, 5]], targets[[1, 2, 3, 4, 5]]) == 1.0
    measures = task.measures(outputs[[1, 2]], targets[[1, 2]], []).metrics
    assert measures == {
        "exact_match": 1.0, "answerable": 0.5, "f1_of_answerable": 1.0, "no_answer_accuracy": 1.0,
    }  # fmt: skip


def _outputs_of(encoded: Any, answers: np.ndarray) -> SpanOutputs:
    from limbeck.data.per_word import WordOutputs

    values = np.zeros((len(encoded.places.places), 2), dtype=np.float32)
    at = encoded.places.offsets[:-1]
    known = answers[:, 0] >= 0
    for side in (0, 1):
        values[at[known] + answers[known, side], side] = 9
        # A window that holds the answer must not look empty beside those that do not.
    return encoded.of_texts(WordOutputs(values, encoded.places.offsets, encoded.places.places))


def test_windows_have_ids_and_questions_stay_together(backend: Any, tmp_path: Path) -> None:
    """A message about window 3 of question 7 must say so."""
    texts = _texts(_questions())
    encoded = encode(texts, backend, max_tokens=48, folder=tmp_path)
    ids = row_ids(texts, encoded)
    assert len(ids) == len(encoded) > len(texts)
    assert ids[0] == "train/q0#1"
    assert encoded.groups is not None
    last = int(encoded.groups.offsets[-2])
    assert ids[last:] == [f"train/q5#{n + 1}" for n in range(len(encoded) - last)]
    assert ids[last + 1] == "train/q5#2"
    assert list(ids[3:3]) == []


def test_losses_are_those_of_padded_rows(backend: Any, tmp_path: Path) -> None:
    """Against the softmax over each window's own places, row by row, in float64."""
    import torch

    from limbeck.data.batches import collate

    encoded = encode(_texts(_questions()), backend, max_tokens=48, folder=tmp_path)
    assert encoded.places is not None
    rows = np.array([7, 0, 4, 12, 3])
    targets = torch.from_numpy(row_targets(None, encoded)[rows])
    for left in (False, True):
        batch = collate(encoded, rows, pad_id=0, left=left)
        layout = layout_of(batch)
        assert batch.places is not None
        assert layout is not None
        generator = torch.Generator().manual_seed(0)
        student, teacher = (
            torch.randn(len(batch.places), 2, generator=generator) for _ in range(2)
        )
        student.requires_grad_()
        soft = TASK.soft(student, teacher, layout, temperature=3.0)
        hard = TASK.hard(student, targets, layout)
        kl, entropies, at = [], [], 0
        for row, target in zip(rows, targets.tolist(), strict=True):
            count = int(np.diff(encoded.places.offsets)[row])
            own, other = (
                torch.log_softmax(side.detach()[at : at + count].double() / 3, 0)
                for side in (student, teacher)
            )
            kl.append(9 * (other.exp() * (other - own)).sum(0).mean())
            if target[0] >= 0:
                shares = torch.log_softmax(student.detach()[at : at + count].double(), 0)
                entropies.append(-(shares[target[0], 0] + shares[target[1], 1]) / 2)
            at += count
        assert soft.item() == pytest.approx(float(torch.stack(kl).mean()), rel=1e-5)
        assert hard.item() == pytest.approx(float(torch.stack(entropies).mean()), rel=1e-5)
        (gradient,) = torch.autograd.grad(soft + hard, student)
        assert (gradient.abs().sum(1) > 0).all()  # every place has a share, and no other has


def test_means_are_over_windows_and_not_over_places(backend: Any, tmp_path: Path) -> None:
    """A step in parts would weigh a part by the length of its contexts."""
    from limbeck.training.lessons import Lessons

    texts = _texts(_questions())
    encoded = encode(texts, backend, max_tokens=48, folder=tmp_path)
    lessons = Lessons(
        encoded=encoded,
        labels=row_targets(TASK.targets(texts, [], source="memory"), encoded),
        answers=None,
        teacher=None,
        ids=row_ids(texts, encoded),
        task=TASK,
    )
    counted = lessons.count(np.array([0, 4, 5]), 1)  # the first question has no label
    assert (counted.rows, counted.answered, counted.labelled) == (3, 3, 2)


def test_targets_are_rows_of_answers() -> None:
    """Splits, fingerprints and unlabelled rows treat them as any other target."""
    texts = _texts(_questions())
    targets = TASK.targets(texts, [], source="memory")
    assert isinstance(targets, SpanTargets)
    assert labelled(targets).tolist() == [False, *[True] * 5]
    assert strata(targets).tolist() == [-100, 0, 1, 1, 1, 1]
    more = with_none(targets[[1, 2]], texts)
    assert labelled(more).tolist() == [True, True, *[False] * 6]
    assert more.tobytes() != targets.tobytes()
    assert TASK.wanted(targets[2], []) == "anna smith | anna"
    assert TASK.wanted(targets[1], []) == "no answer"
    assert targets[1].texts(np.array([[-1, -1]])) == [""]


def test_the_score_is_the_mean_of_the_questions() -> None:
    """Half of an answer's words are half right; the nearest right answer counts."""
    texts = _texts(_questions(4))
    targets = TASK.targets(texts, [], source="memory")[[2, 3]]
    starts = [(len(CONTEXT) + 1) * number + CONTEXT.index("anna") for number in (2, 3)]
    spans = np.array(
        [[-1, -1], [starts[0], starts[0] + 4], [-1, -1], [starts[1] + 5, starts[1] + 10]],
        dtype=np.int32,
    )
    outputs = SpanOutputs(np.zeros((4, 2), dtype=np.float32), np.array([0, 2, 4]), spans)
    assert targets.texts(TASK.answers(outputs).spans) == ["anna", "smith"]
    assert TASK.parts(outputs, targets).tolist() == pytest.approx([1.0, 2 / 3])
    assert score(TASK, outputs, targets) == pytest.approx((1 + 2 / 3) / 2)
    assert token_f1(["smith"], [["anna smith"]])[0] == pytest.approx(2 / 3)
    item = texts.item(3)
    assert isinstance(item, Asked)
    said = TASK.said(TASK.answers(outputs)[1], [], item)
    assert said.words == "smith"
    assert not says_one_thing(TASK, outputs)
    assert says_one_thing(TASK, outputs[[0, 0]])


def test_questions_come_back_from_the_disk(tmp_path: Path) -> None:
    """What is kept of a question is all that windows need."""
    questions = _questions()
    texts = _texts(questions, folder=tmp_path)
    back = list(QuestionRows(texts))
    assert [(q.question, q.context, q.answers) for q in back] == [
        (q.question, q.context, q.answers) for q in questions
    ]
    assert [q.id for q in back] == [f"train/{q.id}" for q in questions]
    taken = QuestionRows(texts.take(np.array([2, 4])))
    assert taken[1].context == questions[4].context
    assert texts.fingerprint() != _texts(questions, stride=13).fingerprint()
    assert next(texts.items()) == texts.item(0)


def test_questions_of_a_context_are_kin() -> None:
    """Held-out questions about a context that was trained on are no test."""
    one, two = _questions(3)[1:]
    texts = _texts([one, Question("x", "where", one.context, None), two])
    hashes = kinship(texts)
    assert hashes[0] == hashes[1] != hashes[2]
    assert len(set(folded_hashes(texts).tolist())) == 3


def test_the_task_is_found_again_at_prediction() -> None:
    """A run that may say nothing must not be served as one that must answer."""
    task = QuestionAnswering(no_answer=True, windowing=Windowing(12, None))
    again = task_from(json.loads(json.dumps(facts_of(task))))
    assert isinstance(again, QuestionAnswering)
    assert (again.no_answer, again.windowing) == (True, Windowing(12, None))
    assert task_from({}).name == "single_label"


def test_default_windows_scale_with_the_model() -> None:
    """A default that no window of 128 tokens can hold would refuse every default recipe."""
    assert Windowing().settled(384) == (128, 64)
    assert Windowing().settled(128) == (42, 21)
    assert Windowing(7, 9).settled(128) == (7, 9)


def test_refuses_rows_in_which_nothing_is_found() -> None:
    """A model of [CLS] alone."""
    texts = _texts(_questions(2))
    targets = TASK.targets(texts, [], source="memory")
    with pytest.raises(DataError, match="no question of it has an answer"):
        TASK.refuse_unlearnable(targets, [], "memory")
    TASK.refuse_unlearnable(targets[[0]], [], "memory")


def test_refuses_half_characters() -> None:
    """They cannot be written, and their place is in no other program's count."""
    with pytest.raises(DataError, match="question q"):
        _texts([Question("q", "who?", "a\ud800b", None)])


def test_refuses_tokenizers_without_a_token_for_no_answer(tmp_path: Path) -> None:
    """GPT-2's begins with the text itself."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    bare = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    bare.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(DataError, match="no special token at either end"):
        encode(_texts(_questions()), bare, max_tokens=48, folder=tmp_path)
