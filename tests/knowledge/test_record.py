"""What the teacher said: recorded once, shard by shard, and read back."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from limbeck.config.recipe import DataConfig, KnowledgeConfig, TeacherConfig
from limbeck.data.encode import encode
from limbeck.data.texts import gather
from limbeck.errors import KnowledgeError, TeacherError
from limbeck.files import read_json
from limbeck.knowledge import record as recording
from limbeck.knowledge.kind import Kind
from limbeck.knowledge.record import record
from limbeck.knowledge.recorded import Recorded
from limbeck.knowledge.store import Identity, Store
from limbeck.progress import shown
from limbeck.teacher.load import Checkpoint, fingerprint, load_classifier, look_at
from limbeck.teacher.parts import Part, hidden_parts

ROWS, SHARD = 50, 16


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads on so small a model mostly wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Desk:
    """A teacher, texts and a folder; `ask` records, `asked` are the rows it was asked about."""

    def __init__(self, teacher: Path, folder: Path, files: dict[str, Path]) -> None:
        self.checkpoint: Checkpoint = look_at(TeacherConfig(path=str(teacher)))
        self.model: Any = load_classifier(self.checkpoint)
        rows = [json.loads(line) for line in files["train"].read_text().splitlines()][:ROWS]
        self.texts = gather("train", rows, "memory", DataConfig(), labels=None)
        self.folder = folder
        self.encoded = encode(
            self.texts, self.checkpoint.backend, max_tokens=32, folder=folder / "tokens"
        )
        self.asked: list[int] = []

    def ask(self, *hidden: int, shard_rows: int = SHARD) -> Recorded:
        return record(
            self.model,
            self.checkpoint,
            self.texts,
            self.encoded,
            teacher_fingerprint=fingerprint(self.model, self.checkpoint.backend),
            kind=Kind(hidden_parts(hidden)),
            settings=KnowledgeConfig(folder=str(self.folder), shard_rows=shard_rows),
        )


@pytest.fixture
def desk(
    random_teacher: Path,
    files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Desk:
    """A desk that counts the rows that the teacher is asked about."""
    made = Desk(random_teacher, tmp_path / "knowledge", files)
    real = recording.answers

    def counted(model: Any, checkpoint: Any, encoded: Any, rows: np.ndarray, kind: Kind) -> Any:
        made.asked.extend(rows.tolist())
        return real(model, checkpoint, encoded, rows, kind)

    monkeypatch.setattr(recording, "answers", counted)
    return made


def _expected(desk: Desk, layers: tuple[int, ...] = ()) -> tuple[np.ndarray, list[Any]]:
    """Logits and hidden states of transformers itself, a row at a time, no padding."""
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(desk.checkpoint.path).eval()
    logits, states = [], []
    for text in desk.texts.texts:
        inputs = desk.checkpoint.tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            answer = model(**inputs, output_hidden_states=True)
        logits.append(answer.logits[0].numpy())
        states.append({layer: answer.hidden_states[layer][0].numpy() for layer in layers})
    return np.stack(logits), states


def test_recorded_logits_are_the_teachers_row_by_row(desk: Desk) -> None:
    """Answers are sorted by length within a shard: a slip would give each row another's."""
    answers = desk.ask()
    expected, _ = _expected(desk)
    np.testing.assert_allclose(answers.all_logits(), expected, atol=1e-5)
    rows = np.array([49, 0, 17, 16, 15, 0])
    np.testing.assert_allclose(answers.logits(rows), expected[rows], atol=1e-5)


def test_recorded_hidden_states_are_output_hidden_states(desk: Desk) -> None:
    """Layers are counted from 1, 0 is the embedding output: off by one is a wrong target."""
    layers = (0, 2, 4)
    answers = desk.ask(*layers)
    _, states = _expected(desk, layers)
    rows = np.array([31, 2, 48])
    for layer in layers:
        for left in (False, True):
            padded = answers.states(Part("hidden", layer), rows, width=24, left=left).numpy()
            for place, row in enumerate(rows):
                length = int(desk.encoded.lengths[row])
                real = slice(24 - length, 24) if left else slice(0, length)
                np.testing.assert_allclose(padded[place, real], states[row][layer], atol=5e-3)
                padded[place, real] = 0
            assert not padded.any()


def test_a_second_recording_asks_nothing(desk: Desk) -> None:
    """The teacher is the dear part."""
    first = desk.ask(2)
    assert sorted(desk.asked) == list(range(ROWS))
    desk.asked.clear()
    second = desk.ask(2)
    assert desk.asked == []
    assert np.array_equal(first.all_logits(), second.all_logits())


def test_a_killed_recording_goes_on_from_the_last_whole_shard(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours of a large teacher must not be lost, nor its answers differ."""
    real = Store.write

    def killed(self: Store, shard: int, table: pa.Table) -> None:
        if shard == 2:
            raise KeyboardInterrupt
        real(self, shard, table)

    monkeypatch.setattr(Store, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        desk.ask()
    monkeypatch.setattr(Store, "write", real)
    place = next(path for path in desk.folder.iterdir() if path.name != "tokens")
    assert read_json(place / "manifest.json")["complete"] is False
    desk.asked.clear()
    resumed = desk.ask()
    assert sorted(desk.asked) == list(range(2 * SHARD, ROWS))
    assert read_json(place / "manifest.json")["complete"] is True
    expected, _ = _expected(desk)
    np.testing.assert_allclose(resumed.all_logits(), expected, atol=1e-5)


def test_a_shard_that_the_manifest_does_not_name_does_not_count(desk: Desk) -> None:
    """A kill between shard and manifest leaves a file that nobody vouches for."""
    answers = desk.ask()
    manifest = answers.place / "manifest.json"
    content = read_json(manifest)
    content["shards"] = content["shards"][:-1]
    manifest.write_text(json.dumps(content))
    desk.asked.clear()
    desk.ask()
    assert sorted(desk.asked) == [48, 49]


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_flip, "checksum is wrong"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "bytes instead of"),
        (lambda path: path.unlink(), "this shard is gone"),
    ],
)
def test_a_damaged_shard_is_named_and_recorded_again(
    desk: Desk, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], said: str
) -> None:
    """One flipped bit in a logit is a wrong target that no loss curve shows."""
    answers = desk.ask()
    before, place = answers.all_logits().copy(), answers.place
    del answers
    damage(place / "shard-00001.arrow")
    desk.asked.clear()
    with shown():
        again = desk.ask()
    told = capsys.readouterr().err
    assert "shard-00001.arrow: this shard" in told or "shard-00001.arrow" in told
    assert said in told
    assert sorted(desk.asked) == list(range(SHARD, 2 * SHARD))
    assert np.array_equal(again.all_logits(), before)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"rows": 50, "shards": [1]}',
                b'{"rows": 50, "shards": [{"shard": 0}]}', b'{"rows": 50, "shards": 7}']
)  # fmt: skip
def test_a_damaged_manifest_is_refused(desk: Desk, content: bytes) -> None:
    """It must not be guessed what it said."""
    manifest = desk.ask().place / "manifest.json"
    manifest.write_bytes(content)
    with pytest.raises(KnowledgeError, match="the manifest cannot be read") as caught:
        desk.ask()
    assert str(manifest) in caught.value.where
    assert "Delete this folder" in caught.value.remedy


def test_the_address_changes_with_all_that_decides_the_answers(desk: Desk) -> None:
    """Answers of another teacher, other texts or another kind are not these answers."""
    base = {
        "teacher": "t", "texts": "x", "max_tokens": 32, "kind": Kind(), "rows": 5, "shard_rows": 2
    }  # fmt: skip
    changes = [
        {"teacher": "u"}, {"texts": "y"}, {"max_tokens": 16}, {"kind": Kind(hidden_parts((1,)))},
        {"kind": Kind(precision="bfloat16")}, {"kind": Kind(states="int8")},
        {"kind": Kind((Part("queries", 1),))},
    ]  # fmt: skip
    addresses = {Identity(**{**base, **change}).address for change in [{}, *changes]}
    assert len(addresses) == len(changes) + 1
    assert Identity(**base).address == Identity(**base).address


def test_other_weights_are_another_teacher(desk: Desk) -> None:
    """Fine-tuned once more, the teacher says something else under the same name."""
    import torch

    first = desk.ask().place
    with torch.no_grad():
        desk.model.classifier.bias[0] += 1e-3
    assert desk.ask().place != first
    assert sorted(desk.asked) == sorted([*range(ROWS)] * 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refuses_answers_that_are_not_finite(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """A NaN in the targets makes the student NaN, hours later."""
    counted = recording.answers

    def broken(*arguments: Any) -> Any:
        logits, states = counted(*arguments)
        logits[np.isin(arguments[3], [20, 21])] = value
        return logits, states

    monkeypatch.setattr(recording, "answers", broken)
    with pytest.raises(TeacherError, match=r"NaN or infinite on 2 rows \(train/21, train/22"):
        desk.ask()
    kept = next(path for path in desk.folder.iterdir() if path.name != "tokens")
    assert [path.name for path in kept.glob("*.arrow")] == ["shard-00000.arrow"]


def test_refuses_hidden_states_that_overflow_float16(desk: Desk) -> None:
    """Kept as float16 they would be infinite."""
    import torch

    with torch.no_grad():
        desk.model.bert.encoder.layer[1].output.LayerNorm.weight *= 1e6
    with pytest.raises(TeacherError, match="hidden states of layer 2"):
        desk.ask(2)


def test_refuses_a_recording_that_the_disk_cannot_hold(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Better now than after an hour."""
    monkeypatch.setattr(recording, "free_mb", lambda path: 0.001)
    with pytest.raises(KnowledgeError, match="but 0 MB are free"):
        desk.ask(2)
    assert desk.asked == []


def test_refuses_a_layer_that_was_not_recorded(desk: Desk) -> None:
    """Another layer's states are a wrong target."""
    with pytest.raises(KnowledgeError, match="hidden_3 was not recorded, only hidden_2"):
        desk.ask(2).states(Part("hidden", 3), np.array([0]), width=24, left=False)


def test_answers_are_mapped_and_not_loaded(desk: Desk, tmp_path: Path) -> None:
    """Memory must not grow with the number of rows."""
    rows, hidden, tokens = 4096, 64, 8
    identity = Identity("t", "x", 8, Kind(hidden_parts((1,))), rows, 1024)
    store = Store(tmp_path, identity)
    for shard in range(identity.shards):
        offsets = np.arange(1025, dtype=np.int64) * hidden * tokens
        states = pa.array(np.zeros(1024 * hidden * tokens, np.float16))
        logits = pa.array(np.zeros(1024 * 4, np.float32))
        store.write(
            shard,
            pa.table(
                {
                    "id": pa.array([str(row) for row in range(1024)], pa.large_string()),
                    "logits": pa.FixedSizeListArray.from_arrays(logits, 4),
                    "hidden_1": pa.LargeListArray.from_arrays(pa.array(offsets), states),
                }
            ),
        )
    del states, logits
    arrow = pa.total_allocated_bytes()
    tracemalloc.start()
    answers = Recorded(Store(tmp_path, identity), np.full(rows, tokens), desk.checkpoint)
    answers.states(Part("hidden", 1), np.arange(0, rows, 512), width=tokens, left=False)
    answers.logits(np.arange(0, rows, 512))
    python = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pa.total_allocated_bytes() - arrow < 100_000
    assert python < 400_000  # of 4 MB a shard


def test_shards_open_without_limbeck(desk: Desk, tmp_path: Path) -> None:
    """What a large teacher said belongs to the user."""
    import pandas as pd
    from datasets import load_dataset

    answers = desk.ask(2)
    logits = answers.all_logits()
    shard = answers.place / "shard-00001.arrow"
    ids = [f"train/{row + 1}" for row in range(SHARD, 2 * SHARD)]
    with pa.memory_map(str(shard)) as source:
        table = pa.ipc.open_file(source).read_all()
    frame = pd.read_feather(shard)
    dataset = load_dataset(
        "arrow",
        data_files=[str(path) for path in sorted(answers.place.glob("*.arrow"))],
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert table.column("id").to_pylist() == ids == frame["id"].tolist()
    assert np.array_equal(np.stack(frame["logits"].tolist()), logits[SHARD : 2 * SHARD])
    assert np.array_equal(
        np.array(table.column("logits").to_pylist(), np.float32), logits[SHARD : 2 * SHARD]
    )
    assert np.array_equal(np.array(dataset["logits"], dtype=np.float32), logits)
    width = desk.model.config.hidden_size
    assert len(frame["hidden_2"][0]) == width * desk.encoded.lengths[SHARD]
