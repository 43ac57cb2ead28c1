"""Bad input, a full disk and kills: one message, the right status, and nothing is lost."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Limbeck = Callable[..., Any]
SETTINGS = {
    "data.max_tokens": 32,
    "training.epochs": 2,
    "training.learning_rate": 1e-3,
    "training.batch_rows": 32,
    "training.precision": "float32",
    "knowledge.precision": "float32",
    "training.attention": "eager",
    "training.threads": 1,
    "training.checkpoint_steps": 5,
    "evaluation.control": "false",
    "evaluation.bootstrap": 100,
    "evaluation.speed_rounds": 1,
    "evaluation.speed_texts": 5,
    "evaluation.memory": "false",
    "knowledge.shard_rows": 100,
}


@pytest.fixture
def asked(teacher: Path, files: dict[str, Path]) -> Callable[..., list[str]]:
    """The arguments of a small, right `distill`; keywords replace options."""

    def make(**options: object) -> list[str]:
        settings = SETTINGS | options.pop("settings", {})  # type: ignore[operator]
        chosen = {
            "teacher": teacher,
            "train": files["train"],
            "validation": files["validation"],
            "test": files["test"],
            "student": "layers=2",
            "output": "run",
        } | options
        arguments = ["distill"]
        for name, value in chosen.items():
            if value is not None:
                arguments += [f"--{name.replace('_', '-')}", str(value)]
        for key, value in settings.items():
            arguments += ["--set", f"{key}={value}"]
        return arguments

    return make


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def _parts(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix in (".part", ".old")]


def _clear(ended: Any, *said: str) -> None:
    """One message in four parts, and status 2."""
    assert ended.status == 2, ended.told
    assert "Traceback" not in ended.told
    message = ended.told.strip().rsplit("\n\n", 1)[-1].splitlines()
    assert len(message) >= 2, ended.told
    assert message[0].partition(":")[0].endswith("Error")
    for text in said:
        assert text in ended.told


CSV = "text,label\n" + "".join(f"the film was {word},{i % 2}\n" for i, word in enumerate("abcdef"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.csv", None, ["none.csv: there is no such file", "Check the spelling"]),
        ("a.csv", b"", ["a.csv: the file holds no rows"]),
        ("a.csv", CSV.encode() + b"caf\xe9,1\n", ["a.csv, line 8: this is not UTF-8", "iconv"]),
        ("a.csv", CSV.encode() + b"one,two,1\n", ["line 8: 3 fields", "header has 2"]),
        ("a.jsonl", b'{"text": "a", "label": 1}\n{"text"\n', ["a.jsonl, line 2: this is not JSON"]),
        ("a.csv", b"body of it,label\na,1\n", ["no column looks like the text", "--text-column"]),
        ("a.csv", b"text,label\na,1\nb,1\n", ["every labelled row has the label 'positive'"]),
        ("a.csv", b"text,label\na,1\nb,maybe\n", ["rows train/2: the label", "negative, positive"]),
        ("a.csv", b"text,label\na,1\nb,positve\nc,0", ["Did you mean 'positive'"]),
        ("a.csv", b"text,label\na,1\n,0\n", ["a.csv, row 2: the text in column 'text' is ''"]),
    ],
)
def test_bad_texts_are_refused_before_anything_is_written(
    limbeck: Limbeck, asked: Any, tmp_path: Path, name: str, content: bytes | None, said: list[str]
) -> None:
    """The user mends the place that is named, and has lost no time."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    _clear(limbeck(*asked(train=name, validation=None)), *said)
    assert [path.name for path in tmp_path.iterdir()] == ([name] if content is not None else [])


@pytest.mark.parametrize("option", ["validation", "test", "unlabelled"])
def test_every_split_is_checked(limbeck: Limbeck, asked: Any, tmp_path: Path, option: str) -> None:
    """A bad test file must not be found after the training."""
    (tmp_path / "bad.csv").write_text("text,label\nfine,1\na,b,c\n")
    _clear(limbeck(*asked(**{option: "bad.csv"})), "bad.csv, line 3")
    assert not (tmp_path / "run").exists()


def test_a_missing_label_column_is_refused(limbeck: Limbeck, asked: Any, tmp_path: Path) -> None:
    """Without its labels the training would be another one."""
    _clear(limbeck(*asked(label_column="verdict")), "there is no column 'verdict'", "text, label")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"student": "layer=2"}, ["'layer=2' is not understood", "Did you mean 'layers'"]),
        ({"student": "layers=9"}, ["student.layers: 9 layers are wanted", "teacher has 4"]),
        ({"student": "from=1,7"}, ["student.from: layer 7", "Use layers from 1 to 4"]),
        ({"method": "logit"}, ["no method 'logit'", "Did you mean 'logits'"]),
        ({"settings": {"training.epoch": 3}}, ["training.epoch", "Did you mean 'epochs'"]),
        ({"settings": {"training.epochs": "["}}, ["is not YAML"]),
        ({"teacher": "./nowhere"}, ["./nowhere: there is no such folder"]),
        ({"teacher": "."}, ["holds no config.json"]),
        (
            {"settings": {"objective.terms": "[{kind: hidden, layer_map: {2: 14}}]"}},
            ["14", "the teacher has 4"],
        ),
        ({"settings": {"data.labels": "[positive, negative]"}}, ["data.labels: the order differs"]),
        ({"settings": {"data.labels": "[good, bad]"}}, ["teacher's classes are negative, positiv"]),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_written(
    limbeck: Limbeck, asked: Any, tmp_path: Path, options: dict[str, Any], said: list[str]
) -> None:
    """A typo or an impossible layer costs seconds, not a training."""
    _clear(limbeck(*asked(**options)), *said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["distill", "teach", "record", "evaluate", "export"])
def test_every_command_refuses_a_setting_without_a_value(
    limbeck: Limbeck, tmp_path: Path, command: str
) -> None:
    """Each reads --set, and each must say the same."""
    options = {
        "distill": ["--teacher", "x", "--train", "x"],
        "teach": ["--base", "x", "--train", "x", "--output", "x"],
        "record": ["--teacher", "x", "--train", "x"],
        "evaluate": ["--teacher", "x", "--student", "x", "--test", "x"],
        "export": ["--model", "x", "--test", "x", "--output", "x"],
    }[command]
    _clear(limbeck(command, *options, "--set", "training.epochs"), "there is no '='")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("teacher: x\ntrainning: {}\n", "Did you mean 'training'"),
        ("teacher: [x\n", "this is not YAML"),
        (None, "there is no such file"),
    ],
)
def test_a_recipe_file_that_is_wrong_is_named(
    limbeck: Limbeck, tmp_path: Path, content: str | None, said: str
) -> None:
    """With its path: there may be many."""
    if content is not None:
        (tmp_path / "my.yaml").write_text(content)
    _clear(limbeck("distill", "my.yaml"), "my.yaml", said)


def test_usage_errors_end_with_status_2(limbeck: Limbeck) -> None:
    """As every command line does."""
    for arguments in (["distill", "--teachr", "x"], ["destill"], ["record", "--teacher", "x"]):
        ended = limbeck(*arguments)
        assert ended.status == 2
        assert "Traceback" not in ended.told


def test_a_dry_run_refuses_the_same_and_writes_nothing(
    limbeck: Limbeck, asked: Any, tmp_path: Path
) -> None:
    """It is there to find mistakes."""
    _clear(limbeck(*asked(train="none.csv"), "--dry-run"), "there is no such file")
    assert limbeck(*asked(), "--dry-run").status == 0
    assert list(tmp_path.iterdir()) == []


def test_a_permuted_numbering_is_found_from_the_answers(
    limbeck: Limbeck, asked: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    """Every label would train towards the other class, at a plausible loss."""
    for name in ("train", "validation", "test"):
        rows = [json.loads(line) for line in files[name].read_text().splitlines()]
        swapped = [{"text": row["text"], "label": 1 - row["label"]} for row in rows]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, swapped)))
    given = {name: f"{name}.jsonl" for name in ("train", "validation", "test")}
    _clear(
        limbeck(*asked(**given)),
        "the label order differs",
        "negative is answered as positive",
        "Number the data's labels in the teacher's order",
    )
    assert not (tmp_path / "run" / "student").exists()


def _copy_of(teacher: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    from safetensors.torch import load_file, save_file

    shutil.copytree(teacher, folder)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_nan_in_the_teachers_answers_is_refused(
    limbeck: Limbeck, asked: Any, teacher: Path, tmp_path: Path
) -> None:
    """Finite weights can overflow: the student would learn NaN."""

    def overflow(weights: dict[str, Any]) -> None:
        weights["classifier.weight"].fill_(3e38)
        weights["bert.pooler.dense.bias"].fill_(50.0)

    broken = _copy_of(teacher, tmp_path / "overflowing", overflow)
    _clear(limbeck(*asked(teacher=broken)), "NaN or infinite on 80 rows (validation/1")
    assert not (tmp_path / "run" / "student").exists()
    assert list((tmp_path / "knowledge").rglob("*.arrow")) == []


def test_nan_in_the_teachers_weights_is_refused(
    limbeck: Limbeck, asked: Any, teacher: Path, tmp_path: Path
) -> None:
    """A teacher of a training that diverged."""
    broken = _copy_of(
        teacher, tmp_path / "nan", lambda weights: weights["classifier.bias"].fill_(float("nan"))
    )
    _clear(limbeck(*asked(teacher=broken)), "the weight classifier.bias holds NaN")
    assert not (tmp_path / "run").exists()


def test_texts_longer_than_the_model_takes_are_counted_and_cut(
    limbeck: Limbeck, asked: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    """They are no error, and no secret."""
    long = "".join(
        json.dumps({"text": "rain " * 100 + str(i), "label": 1}) + "\n" for i in range(9)
    )
    (tmp_path / "train.jsonl").write_text(files["train"].read_text() + long)
    arguments = asked(train="train.jsonl", settings={"data.max_tokens": 500, "training.epochs": 1})
    ended = limbeck(*arguments)
    assert ended.status == 0, ended.told
    assert "9 training texts are longer than 64 tokens and are cut" in ended.told
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["data"]["train_texts_cut"] == 9
    assert any("are cut at 64 tokens" in warning for warning in report["warnings"])


def test_folders_of_others_are_refused_and_stay_as_they_are(
    limbeck: Limbeck, asked: Any, tmp_path: Path
) -> None:
    """Somebody's week of training may be in it."""
    from limbeck.config.load import load_recipe
    from limbeck.run.folder import RunFolder

    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "thesis.doc").write_text("mine")
    other = load_recipe(None, values={"teacher": "x", "output": str(tmp_path / "run")})
    RunFolder(other.output).write_recipe(other)
    before = _tree(tmp_path)
    _clear(limbeck(*asked()), "this folder holds another run", "--output")
    _clear(limbeck(*asked(), "--dry-run"), "this folder holds another run")
    _clear(limbeck(*asked(output="else")), "holds something else (thesis.doc)")
    assert _tree(tmp_path) == before


def _weights(run: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(run / "student" / "model.safetensors")


@pytest.fixture(scope="module")
def straight(
    teacher: Path, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, np.ndarray]:
    """The student of a run that nothing interrupted."""
    from limbeck.cli.main import app, run

    folder = tmp_path_factory.mktemp("straight")
    arguments = ["distill", "--teacher", teacher, "--student", "layers=2"]
    for name in ("train", "validation", "test"):
        arguments += [f"--{name}", files[name]]
    settings = SETTINGS | {"knowledge.folder": folder / "knowledge"}
    for key, value in settings.items():
        arguments += ["--set", f"{key}={value}"]
    arguments += ["--output", folder / "run"]
    assert run(lambda: app(list(map(str, arguments)))) == 0
    return _weights(folder / "run")


def _same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[k], right[k]) for k in left)


def _full_at(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let the disk be full at the `count`th file that is to be kept."""
    import limbeck.files

    real, seen = limbeck.files._sync, [0]

    def sync(path: Path) -> None:
        seen[0] += 1
        if seen[0] == count:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path)

    monkeypatch.setattr(limbeck.files, "_sync", sync)


def test_a_full_disk_ends_in_a_message_and_the_run_goes_on_later(
    limbeck: Limbeck,
    asked: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    straight: dict[str, np.ndarray],
) -> None:
    """Whatever was being written: tokens, answers, checkpoints."""
    for count in (2, 9, 14, 25):
        with monkeypatch.context() as patch:
            _full_at(patch, count)
            _clear(limbeck(*asked()), "the disk is full", "Free some space")
        assert _parts(tmp_path) == []
        assert not (tmp_path / "run" / "report.json").exists()
    ended = limbeck(*asked())
    assert ended.status == 0, ended.told
    assert _same(_weights(tmp_path / "run"), straight)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB, where this machine lets us mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("a small file system cannot be mounted without root's rights")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full_is_told_by_every_writer(small_disk: Path) -> None:
    """Safetensors and NumPy hide the reason in a text, without its number."""
    import pyarrow as pa
    from safetensors.numpy import save_file

    from limbeck.errors import OutputError
    from limbeck.files import whole_file, whole_folder, write_json

    big = np.arange(500_000, dtype=np.float64)

    def arrow(path: Path) -> None:
        table = pa.table({"x": big})
        with (
            whole_file(path) as part,
            pa.OSFile(str(part), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as writer,
        ):
            writer.write_table(table)

    def tensors(path: Path) -> None:
        with whole_folder(path) as part:
            save_file({"x": big}, part / "model.safetensors")

    def numbers(path: Path) -> None:
        with whole_file(path) as part, part.open("wb") as stream:
            np.save(stream, big)

    def text(path: Path) -> None:
        write_json(path, big.tolist())

    for write in (arrow, tensors, numbers, text):
        with pytest.raises(OutputError, match="the disk is full"):
            write(small_disk / "file")
        assert list(small_disk.iterdir()) == []


def test_a_run_on_a_disk_that_is_really_full_ends_in_a_message(
    limbeck: Limbeck, asked: Any, small_disk: Path
) -> None:
    """With every library in between."""
    (small_disk / "ballast").write_bytes(b"x" * 900_000)
    _clear(limbeck(*asked(output="small/run")), "the disk is full")
    assert _parts(small_disk) == []


def test_ctrl_c_in_training_ends_with_130_and_the_run_goes_on_to_the_same_student(
    limbeck: Limbeck,
    asked: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    straight: dict[str, np.ndarray],
) -> None:
    """A user who stops a run must not pay for it twice, nor get another student."""
    from limbeck.training.step import Stepper

    real, steps = Stepper.take, [0]

    def interrupted(self: Any, *args: Any, share: float) -> Any:
        steps[0] += 1
        if steps[0] == 13:
            raise KeyboardInterrupt
        return real(self, *args, share=share)

    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "take", interrupted)
        ended = limbeck(*asked())
    assert ended.status == 130
    assert "Nothing is lost: give the same command again" in ended.told
    assert "Traceback" not in ended.told
    assert _parts(tmp_path) == []
    ended = limbeck(*asked())
    assert ended.status == 0
    assert "going on from step" in ended.told
    assert _same(_weights(tmp_path / "run"), straight)


KILLED_RECORDING = """
from limbeck.knowledge.store import Store
write = Store.write
def killed(self, shard, table):
    if self.identity.rows == 400 and shard == 2: os.kill(os.getpid(), signal.{signal})
    write(self, shard, table)
Store.write = killed
"""
KILLED_TRAINING = """
from limbeck.training.step import Stepper
take = Stepper.take
def killed(self, rows, number, rate, *, share):
    if number == 13: os.kill(os.getpid(), signal.{signal})
    return take(self, rows, number, rate, share=share)
Stepper.take = killed
"""


def test_kill_9_in_recording_and_in_training_costs_neither_answers_nor_the_result(
    started: Any, limbeck: Limbeck, asked: Any, tmp_path: Path, straight: dict[str, np.ndarray]
) -> None:
    """Machines are taken away without notice; the same command must go on to the same student."""
    first = started(*asked(), prepare=KILLED_RECORDING.format(signal="SIGKILL"))
    first.communicate(timeout=120)
    assert first.returncode == -9
    shards = sorted((tmp_path / "knowledge").rglob("*.arrow"))
    times = {path: path.stat().st_mtime_ns for path in shards}
    assert len(times) == 5  # validation 1, test 2, the first two of training

    second = started(*asked(), prepare=KILLED_TRAINING.format(signal="SIGKILL"))
    second.communicate(timeout=120)
    assert second.returncode == -9
    assert {path: path.stat().st_mtime_ns for path in times} == times

    third = limbeck(*asked())
    assert third.status == 0, third.told
    assert "going on from step" in third.told
    assert _parts(tmp_path) == []
    assert _same(_weights(tmp_path / "run"), straight)


def test_a_real_ctrl_c_says_that_nothing_is_lost(started: Any, asked: Any, tmp_path: Path) -> None:
    """The command line's library ends such a process by itself, without a word."""
    process = started(*asked(), prepare=KILLED_TRAINING.format(signal="SIGINT"))
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Interrupted. Nothing is lost" in told
    assert "Traceback" not in told
    assert _parts(tmp_path) == []


def test_a_real_mistake_ends_with_status_2(started: Any, asked: Any) -> None:
    """What scripts see is the status of the process."""
    process = started(*asked(train="none.csv"))
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "DataError: none.csv: there is no such file" in told
    assert "Traceback" not in told
