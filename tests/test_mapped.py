"""Files stay on disk: what was read of them is let go."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from limbeck.config.recipe import TeacherConfig
from limbeck.data.batches import collate
from limbeck.data.encode import Encoded
from limbeck.data.flat import FlatFile
from limbeck.knowledge.kind import Kind
from limbeck.knowledge.recorded import Recorded
from limbeck.knowledge.store import Identity, Store
from limbeck.teacher.load import look_at
from limbeck.teacher.parts import Part

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems keep the pages")

_MB = 2**20
_SIZE = 64 * _MB
_ROWS = 2**16


def _resident() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("RssFile:"))
    return int(line.split()[1]) * 1024


def _encoded(place: Path, *, kept: bool) -> Encoded:
    np.arange(_SIZE // 4, dtype=np.int32).tofile(place)
    return Encoded(
        ids=np.memmap(place, np.int32) if kept else FlatFile(place, np.int32),
        type_ids=None,
        offsets=np.linspace(0, _SIZE // 4, _ROWS + 1).astype(np.int64),
        cut=0,
        max_tokens=512,
    )


def _grown(encoded: Encoded) -> int:
    before = most = _resident()
    order = np.random.default_rng(0).permutation(_ROWS)
    for rows in order.reshape(-1, 64)[:512]:
        batch = collate(encoded, rows, pad_id=0)
        assert batch.input_ids[:, 0].tolist() == encoded.offsets[rows].tolist()
        most = max(most, _resident())
    return most - before


def test_token_ids_that_were_read_are_let_go(tmp_path: Path) -> None:
    """Over an epoch the process would come to hold the whole file."""
    assert _grown(_encoded(tmp_path / "kept", kept=True)) > 50 * _MB  # so the test can fail
    assert _grown(_encoded(tmp_path / "let go", kept=False)) < _MB


def test_recorded_answers_that_were_read_are_let_go(tmp_path: Path, random_teacher: Path) -> None:
    """Hidden states of a large file are more than there is memory."""
    rows, hidden, tokens = 4096, 512, 16
    identity = Identity("t", "x", tokens, Kind(parts=(Part("hidden", 1),)), rows, 1024)
    store = Store(tmp_path, identity)
    for shard in range(identity.shards):
        offsets = np.arange(1025, dtype=np.int64) * hidden * tokens
        states = np.repeat(np.arange(1024) + shard, hidden * tokens).astype(np.float16)
        logits = pa.array(np.arange(1024 * 4, dtype=np.float32))
        columns = {
            "id": pa.array([str(row) for row in range(1024)], pa.large_string()),
            "logits": pa.FixedSizeListArray.from_arrays(logits, 4),
            "hidden_1": pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(states)),
        }
        store.write(shard, pa.table(columns))
    checkpoint = look_at(TeacherConfig(path=str(random_teacher)))
    answers = Recorded(store, np.full(rows, tokens), checkpoint)
    before = most = _resident()
    for start in range(0, rows, 64):
        batch = np.arange(start, start + 64)
        states = answers.states(Part("hidden", 1), batch, width=tokens, left=False)
        assert states[:, 0, 0].tolist() == (batch % 1024 + start // 1024).tolist()
        assert answers.logits(batch)[:, 1].tolist() == (batch % 1024 * 4 + 1).tolist()
        most = max(most, _resident())
    assert most - before < 40 * _MB  # of 64 MB
