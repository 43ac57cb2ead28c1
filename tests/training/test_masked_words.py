"""Training on masked words: the same masks however a step is computed, and float32 at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.conftest import ROWS, Bench

from limbeck.config.recipe import TrainingConfig
from limbeck.config.terms import HardTerm, HiddenTerm, LogitsTerm, Term
from limbeck.data.masking import Masking
from limbeck.errors import TrainingError
from limbeck.knowledge.anew import AskedAnew
from limbeck.objective import hard_cross_entropy, logit_kl
from limbeck.teacher.ask import ask
from limbeck.teacher.masked_lm import load_masked_lm
from limbeck.teacher.parts import hidden_parts
from limbeck.training.inputs import Counted
from limbeck.training.log import read_log
from limbeck.training.losses import share
from limbeck.training.optimizer import AdamW

TERMS: tuple[Term, ...] = (
    LogitsTerm(weight=5.0, temperature=2.0),
    HardTerm(weight=2.0),
    HiddenTerm(weight=1.0, distance="cosine", layer_map={4: 4}),
)


def _teacher(bench: Bench, seed: int = 1) -> Any:
    model = load_masked_lm(bench.checkpoint, new_head=True, seed=seed)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def _lessons(bench: Bench, teacher: Any, *, masked: float = 0.3) -> Any:
    ordinary = np.arange(bench.checkpoint.config.vocab_size) > 4
    answers = AskedAnew(teacher, bench.checkpoint, hidden_parts((4,)), precision="float32")
    masking = Masking(masked, 4, ordinary, seed=0)
    return bench.lessons(answers, masking=masking, rows=np.arange(ROWS - 8))


def _train(bench: Bench, folder: Path, lessons: Any = None, **settings: Any) -> Any:
    bench.exam = None
    model = _teacher(bench, seed=2)
    bench.train(model, TERMS, lessons or _lessons(bench, _teacher(bench)), folder, **settings)
    return model, [line for line in read_log(folder / "log.jsonl") if "loss" in line]


def test_a_steps_terms_are_those_of_their_functions(bench: Bench, tmp_path: Path) -> None:
    """Each term by itself, from both models' logits at the places that the masks chose."""
    lessons = _lessons(bench, _teacher(bench))
    _, log = _train(bench, tmp_path, lessons, epochs=1, batch_rows=64)
    student, teacher = _teacher(bench, seed=2).eval(), _teacher(bench)
    from limbeck.data.batches import shuffled_batches

    (order,) = shuffled_batches(
        bench.encoded.lengths[: ROWS - 8], rows=64, tokens=8192, seed=0, epoch=0
    )
    batch = lessons.batch(bench.checkpoint, order, 1)
    with torch.no_grad():
        own, other = (
            ask(model, batch, bench.checkpoint.family).logits for model in (student, teacher)
        )
    assert own.shape == (len(batch.labels), bench.checkpoint.config.vocab_size)
    assert log[0]["hard"] == pytest.approx(float(hard_cross_entropy(own, batch.labels)), rel=1e-4)
    soft = float(logit_kl(own, other, temperature=2.0))
    assert log[0]["logits_kl"] == pytest.approx(soft, rel=1e-4)


def test_two_parts_train_like_one(bench: Bench, tmp_path: Path) -> None:
    """Parts hold different numbers of masked words; with wrong shares these count double."""
    one, losses = _train(bench, tmp_path / "one")
    two, parted = _train(bench, tmp_path / "two", accumulate=2)
    for name in ("loss", "hard", "logits_kl", "hidden_cosine"):
        assert [line[name] for line in parted] == pytest.approx(
            [line[name] for line in losses], rel=1e-3
        )
    for left, right in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(left, right, atol=5e-4, rtol=1e-3)


def test_a_part_without_a_masked_word_says_nothing(bench: Bench, tmp_path: Path) -> None:
    """The mean over no word is NaN, and one NaN ends a training of days."""
    _, log = _train(
        bench, tmp_path, _lessons(bench, _teacher(bench), masked=0.01), accumulate=8, batch_rows=8
    )
    assert any(line["hard"] == 0 for line in log)
    assert all(np.isfinite(line["loss"]) for line in log)


def test_shares_of_masked_words() -> None:
    """Words are the examples of these terms, not rows."""
    part, whole = Counted(8, 10, 10, 50, 320), Counted(16, 40, 40, 80, 440)
    assert share(HardTerm(), part, whole) == share(LogitsTerm(), part, whole) == 0.25
    empty = Counted(8, 0, 0, 50, 320)
    assert share(LogitsTerm(), empty, empty) == 0.0


def test_rows_that_are_held_out_are_not_learned_from(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A held-out loss on what was learned says nothing."""
    from limbeck.training.step import Stepper

    seen: list[np.ndarray] = []
    real = Stepper.take

    def take(self: Any, rows: np.ndarray, *args: Any, **named: Any) -> Any:
        seen.append(rows)
        return real(self, rows, *args, **named)

    monkeypatch.setattr(Stepper, "take", take)
    _train(bench, tmp_path)
    assert set(np.concatenate(seen)) == set(range(ROWS - 8))


def test_a_nan_is_traced_to_the_row_of_its_word(bench: Bench, tmp_path: Path) -> None:
    """Logits are of words here; the row of the same number is another one."""

    class Broken(AskedAnew):
        def about(self, batch: Any) -> Any:
            heard = super().about(batch)
            width = batch.input_ids.shape[1]
            rows = torch.from_numpy(batch.rows)[batch.places // width]
            heard.answer.logits[rows == 5] = torch.nan
            return heard

    lessons = _lessons(bench, _teacher(bench))
    object.__setattr__(
        lessons, "answers", Broken(_teacher(bench), bench.checkpoint, (), precision="float32")
    )
    bench.exam = None
    with pytest.raises(TrainingError, match=r"logits_kl is NaN or infinite on the rows train/6\n"):
        bench.train(_teacher(bench, seed=2), TERMS[:2], lessons, tmp_path)


def test_tied_weights_stay_float32_under_both_names(bench: Bench) -> None:
    """The decoder is the embedding; its bfloat16 copy would overwrite the master at the end."""
    model = _teacher(bench)
    optimizer = AdamW(model, TrainingConfig(), precision="bfloat16")
    model.bert.embeddings.word_embeddings.weight.float().square().sum().backward()
    optimizer.collect()
    optimizer.step(1e-3)
    weights = optimizer.weights()
    table = weights["bert.embeddings.word_embeddings.weight"]
    assert table.dtype == torch.float32
    assert torch.equal(weights["cls.predictions.decoder.weight"], table)
    assert not torch.equal(table, table.bfloat16().float())
    optimizer.release()
    model.load_state_dict(weights)
    assert torch.equal(model.get_output_embeddings().weight, table)
