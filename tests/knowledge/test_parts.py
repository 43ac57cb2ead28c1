"""Every part of a teacher, recorded or live, in either storage: its numbers and its cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from limbeck.config.recipe import DataConfig, KnowledgeConfig, TeacherConfig
from limbeck.data.encode import encode
from limbeck.data.texts import gather
from limbeck.errors import KnowledgeError, TeacherError
from limbeck.files import read_json
from limbeck.knowledge import record as recording
from limbeck.knowledge.answers import LiveTeacher
from limbeck.knowledge.kind import Kind
from limbeck.knowledge.record import answers, record
from limbeck.knowledge.recorded import Recorded
from limbeck.knowledge.size import kind_for, knowledge_mb
from limbeck.knowledge.store import Store
from limbeck.teacher.attention import part_width
from limbeck.teacher.load import fingerprint, load_classifier, look_at
from limbeck.teacher.parts import Part, hidden_parts

SHARD = 16
PARTS = tuple(
    Part(what, layer)  # type: ignore[arg-type]
    for what in ("hidden", "queries", "keys", "values", "attention")
    for layer in (2, 4)
)
STORAGES = ("float16", "int8")


class School:
    """A teacher, texts, and a folder of knowledge."""

    def __init__(self, teacher: Path, texts: list[str], folder: Path) -> None:
        self.checkpoint = look_at(TeacherConfig(path=str(teacher)))
        self.model: Any = load_classifier(self.checkpoint, attention="sdpa")
        self.folder = folder / "knowledge"
        rows = [{"text": text} for text in texts]
        self.texts = gather("train", rows, "memory", DataConfig(), labels=None)
        self.encoded = encode(
            self.texts, self.checkpoint.backend, max_tokens=32, folder=folder / "tokens"
        )

    def kind(self, parts: Any = PARTS, states: str = "float16") -> Kind:
        settings = KnowledgeConfig(states=states)  # type: ignore[arg-type]
        return kind_for(parts, self.checkpoint, settings, precision="float32")

    def record(self, kind: Kind, rows: slice = slice(None)) -> Recorded:
        texts = self.texts.take(np.arange(len(self.texts))[rows])
        encoded = encode(
            texts, self.checkpoint.backend, max_tokens=32, folder=self.folder / "tokens"
        )
        return record(
            self.model,
            self.checkpoint,
            texts,
            encoded,
            teacher_fingerprint=fingerprint(self.model, self.checkpoint.backend),
            kind=kind,
            settings=KnowledgeConfig(folder=str(self.folder), shard_rows=SHARD),
        )

    def live(self, kind: Kind) -> LiveTeacher:
        return LiveTeacher(self.model, self.checkpoint, self.encoded, kind)


@pytest.fixture(scope="module")
def school(
    tiny: dict[str, Any],
    write_tokenizer: Callable[..., Any],
    files: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], School]:
    """Makes a school with a random teacher of a family, in a folder of its own."""
    texts = [json.loads(line)["text"] for line in files["train"].read_text().splitlines()[:40]]

    def make(name: str) -> School:
        folder = tmp_path_factory.mktemp(name)
        tokenizer = write_tokenizer(folder / "teacher")
        if name == "xlnet":
            tokenizer.padding_side = "left"
            tokenizer.save_pretrained(folder / "teacher")
        config = AutoConfig.for_model(
            **{**tiny[name], "vocab_size": len(tokenizer), "pad_token_id": 0}
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = AutoModelForSequenceClassification.from_config(config)
        model.save_pretrained(folder / "teacher")
        return School(folder / "teacher", texts, folder)

    return make


@pytest.fixture(scope="module")
def bert(school: Callable[[str], School]) -> School:
    return school("bert")


@pytest.mark.parametrize("states", STORAGES)
@pytest.mark.parametrize("name", ["bert", "mpnet", "deberta-v3", "xlnet", "modernbert", "gpt2",
                                  "mobilebert", "albert"])  # fmt: skip
def test_recorded_and_live_answers_agree_on_every_part(
    school: Callable[[str], School], name: str, states: str
) -> None:
    """Otherwise the same recipe trains another student with knowledge.source=live."""
    desk = school(name)
    kind = desk.kind(states=states)
    recorded, live = desk.record(kind), desk.live(kind)
    rows, left = np.array([31, 2, 17, 38]), desk.checkpoint.pads_left
    width = int(desk.encoded.lengths[rows].max()) + 3
    for part in PARTS:
        ours, theirs = (
            answers.states(part, rows, width=width, left=left) for answers in (recorded, live)
        )
        heads, size = 2, part_width(desk.checkpoint.config, part)
        shape = (4, heads, width, width) if part.what == "attention" else (4, width, size)
        assert ours.shape == theirs.shape == shape
        assert ours.dtype == theirs.dtype == torch.float32
        # Batches of other rows differ in the last bits, which may round the other way.
        step = float(ours.abs().max()) * (1 / 64 if states == "int8" else 1 / 512)
        torch.testing.assert_close(ours, theirs, atol=step, rtol=0)
        assert (ours - theirs).abs().mean() < step / 50
        for place, row in enumerate(rows):
            length = int(desk.encoded.lengths[row])
            real = slice(width - length, width) if left else slice(0, length)
            if part.what == "attention":
                sums = ours[place, :, real].sum(-1)
                torch.testing.assert_close(sums, torch.ones_like(sums), atol=2e-3, rtol=0)
                ours[place, :, real, real] = 0
            else:
                ours[place, real] = 0
        assert not ours.any(), "padding is not zero"


def test_live_answers_of_the_same_batch_are_the_recorded_ones_bit_for_bit(bert: School) -> None:
    """Rounding that is done twice must be done alike."""
    lengths = bert.encoded.lengths
    rows = np.flatnonzero(lengths == np.bincount(lengths).argmax())
    for states in STORAGES:
        kind = bert.kind(PARTS, states)
        live = bert.live(kind)
        _, columns = answers(bert.model, bert.checkpoint, bert.encoded, rows, kind)
        for part in kind.parts:
            told = live.states(part, rows, width=int(lengths[rows[0]]), left=False).numpy()
            for place in range(len(rows)):
                kept = columns[part.name][place].astype(np.float32)
                if states == "int8":
                    kept *= columns[f"{part.name}_scale"][place][:, None]
                np.testing.assert_array_equal(kept, told[place])


def test_int8_keeps_every_vector_within_the_stated_error(bert: School) -> None:
    """A figure that is not kept is worse than none: the manifest promises it."""
    exact, rough = (bert.record(bert.kind(states=states)) for states in STORAGES)
    manifest = read_json(rough.place / "manifest.json")
    assert manifest["kind"]["states"] == "int8"
    rows, width = np.arange(40), int(bert.encoded.lengths.max())
    real = np.arange(width)[None, :] < bert.encoded.lengths[:, None]
    for part in bert.kind().parts:
        said = manifest["rounding"][part.name]
        told, kept = (
            answers.states(part, rows, width=width, left=False).numpy()[real].astype(np.float64)
            for answers in (exact, rough)
        )
        errors = np.linalg.norm(kept - told, axis=1) / np.linalg.norm(told, axis=1)
        cosines = (kept * told).sum(1) / np.linalg.norm(kept, axis=1) / np.linalg.norm(told, axis=1)
        # `told` itself is rounded to float16, 2^-11 of each number at most.
        assert errors.max() <= said["largest_relative_error"] + 2**-11
        assert errors.max() >= said["largest_relative_error"] - 2**-11
        assert said["mean_cosine"] == pytest.approx(cosines.mean(), abs=1e-5)
        assert said["tokens"] == real.sum()
        assert 0 < said["largest_relative_error"] < 0.03
    assert "rounding" in manifest
    assert read_json(exact.place / "manifest.json")["rounding"] == {}


def test_known_answers_bring_their_rounding_error_along(bert: School) -> None:
    """A store that was copied from others would otherwise promise nothing, or too much."""
    kind = bert.kind(hidden_parts((3,)), "int8")
    first = bert.record(kind)
    second = bert.record(kind, slice(5, 30))
    figures = read_json(first.place / "manifest.json")["rounding"]["hidden_3"]
    copied = read_json(second.place / "manifest.json")["rounding"]["hidden_3"]
    assert 0 < copied["largest_relative_error"] <= figures["largest_relative_error"]
    rows = np.array([0, 7])
    np.testing.assert_array_equal(
        second.states(Part("hidden", 3), rows, width=24, left=False).numpy(),
        first.states(Part("hidden", 3), rows + 5, width=24, left=False).numpy(),
    )


@pytest.mark.parametrize("states", STORAGES)
@pytest.mark.parametrize("name", ["bert", "mpnet", "mobilebert", "albert"])
def test_the_plan_knows_the_bytes_before(
    school: Callable[[str], School], name: str, states: str
) -> None:
    """A disk that is full after an hour is an hour lost."""
    desk = school(name)
    parts = (*PARTS, Part("hidden", 0))
    kind = desk.kind(parts, states)
    said = knowledge_mb(kind, desk.checkpoint.config, 2, desk.encoded.lengths)
    place = desk.record(kind).place
    real = sum(path.stat().st_size for path in place.glob("*.arrow"))
    columns = 4 + len(kind.columns())
    assert real == pytest.approx(said * 1e6, abs=3 * columns * 800)  # headers of three shards
    many = np.tile(desk.encoded.lengths, 1000)
    assert knowledge_mb(kind, desk.checkpoint.config, 2, many) == pytest.approx(1000 * said)


def test_int8_takes_half_the_disk(bert: School) -> None:
    """That is what it is for."""
    config = AutoConfig.for_model("bert")
    lengths = np.full(1000, 100)
    half, whole = (
        knowledge_mb(Kind(hidden_parts((6, 12)), "float32", states), config, 2, lengths)
        for states in ("int8", "float16")
    )
    assert half / whole == pytest.approx(0.5, abs=0.01)


def test_distributions_are_kept_only_where_they_cannot_be_recomputed(
    school: Callable[[str], School],
) -> None:
    """Queries and keys grow with the text, distributions with its square."""
    wanted = (Part("attention", 4),)
    assert school("bert").kind(wanted).parts == (Part("keys", 4), Part("queries", 4))
    assert school("mpnet").kind(wanted, "int8") == Kind(wanted, "float32", "float16")


def test_logits_alone_have_one_address_whatever_the_storage(bert: School) -> None:
    """The teacher would be asked again for what is on disk."""
    assert bert.kind((), "int8") == bert.kind((), "float16")


def test_refuses_a_part_that_was_not_recorded(bert: School) -> None:
    """Another layer's queries are a wrong target."""
    answers = bert.record(bert.kind((Part("queries", 2),)))
    with pytest.raises(KnowledgeError, match="attention_2 was not recorded, only queries_2"):
        answers.states(Part("attention", 2), np.array([0]), width=24, left=False)


@pytest.mark.parametrize("states", STORAGES)
def test_refuses_vectors_that_are_not_finite(
    school: Callable[[str], School], monkeypatch: pytest.MonkeyPatch, states: str
) -> None:
    """In int8 nothing can be NaN but the scale: a broken teacher must not look whole."""
    desk, part = school("bert"), Part("queries", 2)
    real = recording.ask

    def broken(*arguments: Any, **settings: Any) -> Any:
        answer = real(*arguments, **settings)
        answer.states[part][0, 0, 3] = torch.nan
        return answer

    monkeypatch.setattr(recording, "ask", broken)
    with pytest.raises(TeacherError, match=r"queries of layer 2.* are NaN or infinite on 1 rows"):
        desk.record(desk.kind((part,), states))


def test_int8_holds_what_float16_cannot(school: Callable[[str], School]) -> None:
    """The message sends nobody away whose teacher is sound."""
    desk, part = school("bert"), Part("queries", 2)
    with torch.no_grad():
        desk.model.bert.encoder.layer[1].attention.self.query.bias[0] = 1e6
    with pytest.raises(TeacherError, match=r"queries of layer 2 \(kept as float16, at most 65504"):
        desk.record(desk.kind((part,)))
    answers = desk.record(desk.kind((part,), "int8"))
    states = answers.states(part, np.array([0]), width=16, left=False)
    assert float(states[0, 0, 0]) == pytest.approx(1e6, rel=1e-4)


def test_a_killed_int8_recording_goes_on_with_its_error(
    school: Callable[[str], School], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of the shards before the kill belongs to the whole."""
    desk = school("bert")
    kind = desk.kind(hidden_parts((2,)), "int8")
    real = Store.write

    def killed(self: Store, shard: int, table: pa.Table) -> None:
        if shard == 2:
            raise KeyboardInterrupt
        real(self, shard, table)

    monkeypatch.setattr(Store, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        desk.record(kind)
    monkeypatch.setattr(Store, "write", real)
    manifest = read_json(desk.record(kind).place / "manifest.json")
    worst = [
        shard["rounding"]["hidden_2"]["largest_relative_error"] for shard in manifest["shards"]
    ]
    assert len(worst) == 3
    assert manifest["rounding"]["hidden_2"]["largest_relative_error"] == max(worst)
    assert manifest["rounding"]["hidden_2"]["tokens"] == desk.encoded.offsets[-1]


def test_a_manifest_without_its_error_is_refused(school: Callable[[str], School]) -> None:
    """It must not be guessed what it said."""
    desk = school("bert")
    kind = desk.kind(hidden_parts((2,)), "int8")
    manifest = desk.record(kind).place / "manifest.json"
    content = read_json(manifest)
    content["shards"][0]["rounding"] = {}
    manifest.write_text(json.dumps(content))
    with pytest.raises(KnowledgeError, match="the manifest cannot be read"):
        desk.record(kind)


def test_shards_are_read_without_limbeck(bert: School) -> None:
    """What a large teacher said belongs to the user, also in int8."""
    answers = bert.record(bert.kind((Part("values", 4),), "int8"))
    with pa.memory_map(str(answers.place / "shard-00001.arrow")) as source:
        row = pa.ipc.open_file(source).read_all().slice(3, 1).to_pylist()[0]
    values = np.array(row["values_4"], np.float32).reshape(row["tokens"], -1)
    values *= np.array(row["values_4_scale"], np.float32)[:, None]
    ours = answers.states(Part("values", 4), np.array([SHARD + 3]), width=row["tokens"], left=False)
    np.testing.assert_array_equal(values, ours[0].numpy())
    manifest = read_json(answers.place / "manifest.json")
    assert manifest["kind"] == {"parts": ["values_4"], "precision": "float32", "states": "int8"}


def test_a_kind_is_the_one_that_it_was_written_as() -> None:
    """Earlier answers are found by it."""
    kind = Kind((Part("hidden", 0), Part("keys", 12)), "bfloat16", "int8")
    assert Kind.of(json.loads(json.dumps(kind.content()))) == kind
    assert kind.in_words() == (
        "logits; hidden states of layer 0; keys of layer 12 in int8; asked in bfloat16"
    )
    assert replace(kind, parts=()).in_words() == "logits; asked in bfloat16"


def test_every_family_of_the_table_can_be_sized(tiny: dict[str, Any]) -> None:
    """The plan prints bytes before weights are read."""
    for name, settings in tiny.items():
        config = AutoConfig.for_model(**settings)
        for part in PARTS:
            narrow = name == "mobilebert" and part.what != "hidden"
            assert part_width(config, part) == (12 if narrow else 16)
