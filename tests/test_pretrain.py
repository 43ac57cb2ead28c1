"""General distillation: a student that learns a language before it learns a task."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.conftest import BAD, FILLER, GOOD, make_teacher

from limbeck.config.load import load_recipe
from limbeck.config.recipe import Recipe
from limbeck.distill import distill, plan_only
from limbeck.errors import LimbeckError, OutputError, RecipeError, TeacherError
from limbeck.pretrain import pretrain
from limbeck.run.general import plan_general
from limbeck.training import loop
from limbeck.training.log import read_log

Make = Callable[..., Recipe]


def language(sentences: int, seed: int = 0) -> str:
    """Sentences in which each word follows from its neighbours: eight themes, six words each."""
    generator = random.Random(seed)
    words = [*FILLER, *GOOD, *BAD]
    themes = [
        [words[(7 * theme + 4 * place) % len(words)] for place in range(6)] for theme in range(8)
    ]
    lines = [" ".join(generator.choice(themes)) + "." for _ in range(sentences)]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of plain text."""
    folder = tmp_path_factory.mktemp("books")
    (folder / "one.txt").write_text(language(3000))
    (folder / "two.txt").write_text(language(1000, seed=1))
    return folder


def general(books: Path, place: Path, **settings: Any) -> Recipe:
    """A small, fast recipe; keyword ``key__subkey`` sets ``key.subkey``."""
    values = {
        "data.plain": [str(books)],
        "data.max_tokens": 16,
        "knowledge.folder": str(place.parent / "knowledge"),
        "pretraining.learning_rate": 3e-3,
        "training.batch_rows": 32,
        "training.precision": "float32",
        "training.attention": "eager",
        "training.threads": 1,
        "training.log_steps": 5,
        "output": str(place),
    }
    values.update({key.replace("__", "."): value for key, value in settings.items()})
    return load_recipe(None, values=values)


@pytest.fixture(scope="module")
def masked_lm(
    random_teacher: Path, books: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """A teacher of masked words, made from an encoder without a head by `pretrain` itself."""
    folder = tmp_path_factory.mktemp("masked_lm") / "teacher"
    recipe = general(
        books,
        folder,
        teacher__path=str(random_teacher),
        student__layers=4,
        pretraining__terms=[{"kind": "hard", "weight": 1.0}],
        pretraining__epochs=12,
    )
    return folder, pretrain(recipe)


@pytest.fixture
def recipe(masked_lm: tuple[Path, Any], books: Path, tmp_path: Path) -> Make:
    """Makes a recipe of a pre-training from the teacher of masked words."""

    def make(**settings: Any) -> Recipe:
        given = {"teacher__path": str(masked_lm[0]), "student__layers": 2, **settings}
        return general(books, tmp_path / "general", **given)

    return make


def _record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "limbeck_pretrain.json").read_text())


def test_an_encoder_learns_the_words_of_a_language(masked_lm: tuple[Path, Any]) -> None:
    """A loss that falls on training text alone would be rows learned by heart."""
    folder, figures = masked_lm
    before = _record(folder)["before"]["words"]
    assert before["loss"] > 3
    assert figures.words.loss < 0.35 * before["loss"]
    assert figures.words.accuracy > 0.6
    assert figures.words.perplexity == pytest.approx(np.exp(figures.words.loss))
    from transformers import BertForMaskedLM

    _, info = BertForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]


def test_a_distilbert_is_made_as_its_paper_says(
    recipe: Make, masked_lm: tuple[Path, Any], tmp_path: Path
) -> None:
    """What others load must be whole, and no student knows more words than its teacher."""
    figures = pretrain(recipe(method="distilbert", pretraining__epochs=4))
    record = _record(tmp_path / "general")
    assert figures.words.loss < 0.5 * record["before"]["words"]["loss"]
    assert figures.teacher_words.loss == pytest.approx(masked_lm[1].words.loss, rel=1e-3)
    assert figures.words.loss > figures.teacher_words.loss
    assert figures.distances["2 to 4"] < record["before"]["distances"]["2 to 4"]
    from transformers import AutoModelForMaskedLM, pipeline

    model, info = AutoModelForMaskedLM.from_pretrained(
        tmp_path / "general", output_loading_info=True
    )
    assert type(model).__name__ == "DistilBertForMaskedLM"
    assert not info["missing_keys"]
    guess = pipeline("fill-mask", model=str(tmp_path / "general"), device="cpu")
    text = language(1)
    words = text.rstrip(".").split()
    found = guess(" ".join([*words[:2], "[MASK]", *words[3:]]) + ".")
    assert words[2] in {answer["token_str"] for answer in found}


@pytest.mark.parametrize("method", ["tinybert", "minilm", "minilm2"])
def test_layers_are_learned_from_an_encoder_without_a_head(
    recipe: Make, random_teacher: Path, tmp_path: Path, method: str
) -> None:
    """TinyBERT's and MiniLM's teachers are asked for no word, on text as it is."""
    made = recipe(
        method=method,
        teacher__path=str(random_teacher),
        pretraining__epochs=6,
        student__hidden=16,
        student__init="normal",
        student__heads=2 if method == "minilm2" else 4,  # the others compare head by head
    )
    assert plan_general(made, cache=tmp_path / "tokens").masking is None
    figures = pretrain(made)
    before = _record(tmp_path / "general")["before"]
    assert figures.words is None
    assert all(value < before["terms"][name] for name, value in figures.terms.items())
    if method == "tinybert":  # relations leave the states free
        assert set(figures.distances) == {"0 to 0", "1 to 2", "2 to 4"}
        assert figures.distances["2 to 4"] < before["distances"]["2 to 4"]
    log = read_log(tmp_path / "general" / "log.jsonl")
    assert log[-1]["loss"] < 0.9 * log[0]["loss"]
    from transformers import AutoModel

    model, info = AutoModel.from_pretrained(tmp_path / "general", output_loading_info=True)
    assert type(model).__name__ == "BertModel"
    assert not info["missing_keys"]


def test_a_mobilebert_learns_layer_by_layer(
    recipe: Make, random_teacher: Path, tmp_path: Path
) -> None:
    """Each layer needs what lies below it to stand still."""
    pretrain(
        recipe(
            method="mobilebert",
            teacher__path=str(random_teacher),
            student__layers=None,
            pretraining__epochs=4,
        )
    )
    log = read_log(tmp_path / "general" / "log.jsonl")
    assert list(dict.fromkeys(line["arm"] for line in log)) == [
        f"pretraining-layer-{layer}" for layer in range(1, 5)
    ]
    config = json.loads((tmp_path / "general" / "config.json").read_text())
    assert config["architectures"] == ["MobileBertModel"]


class _Killed(BaseException):
    """Stands for SIGKILL: nothing in the code catches it."""


@pytest.mark.parametrize("method", ["distilbert", "tinybert"])
def test_a_killed_pretraining_ends_like_a_straight_one(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Pre-training takes days: it will be interrupted, and must mask what it would have masked."""
    settings = {"method": method, "training__checkpoint_steps": 4, "pretraining__epochs": 2}
    pretrain(recipe(**settings, output=str(tmp_path / "straight")))
    real, taken = loop.Stepper.take, {"steps": 0}

    def take(self: Any, *args: Any, **settings: Any) -> Any:
        taken["steps"] += 1
        if taken["steps"] == 11:
            raise _Killed
        return real(self, *args, **settings)

    monkeypatch.setattr(loop.Stepper, "take", take)
    with pytest.raises(_Killed):
        pretrain(recipe(**settings, output=str(tmp_path / "killed")))
    assert not (tmp_path / "killed").exists()
    pretrain(recipe(**settings, output=str(tmp_path / "killed")))
    monkeypatch.undo()
    assert taken["steps"] < 11 + _record(tmp_path / "straight")["steps"]
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("straight", "killed"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture
def task(masked_lm: tuple[Path, Any], files: dict[str, Path], books: Path, tmp_path: Path) -> Make:
    """Makes a run on the labelled sentences whose teacher is fine-tuned from the masked LM."""
    from limbeck.config.recipe import DataConfig, TeacherConfig, TeachRecipe, TrainingConfig
    from limbeck.teach import teach

    teacher = tmp_path / "teacher"
    teach(
        TeachRecipe(
            base=TeacherConfig(path=str(masked_lm[0])),
            data=DataConfig(train=str(files["train"]), test=str(files["test"]), max_tokens=16),
            training=TrainingConfig(
                epochs=4, learning_rate=2e-3, precision="float32", attention="eager", threads=1
            ),
            output=str(teacher),
        )
    )

    def make(**settings: Any) -> Recipe:
        given = {
            "teacher__path": str(teacher),
            "data__train": str(files["train"]),
            "data__validation": str(files["validation"]),
            "data__test": str(files["test"]),
            "student__layers": 2,
            "method": "distilbert",
            "pretraining__teacher": str(masked_lm[0]),
            "pretraining__epochs": 2,
            "training__epochs": 2,
            "training__learning_rate": 1e-3,
            "evaluation__bootstrap": 200,
            "evaluation__speed_rounds": 1,
            "evaluation__speed_texts": 20,
            "evaluation__memory": False,
            **settings,
        }
        return general(books, tmp_path / "run", **given)

    return make


def test_the_whole_road_begins_with_plain_text(task: Make, tmp_path: Path) -> None:
    """A body that got lost between the two trainings would be found by nobody else."""
    from limbeck.run import arms

    report = distill(task(evaluation__control=False))
    assert report.retention.value > 0.9
    folders = [p for p in (tmp_path / "knowledge" / "pretrained").iterdir() if p.is_dir()]
    assert len(folders) == 1
    assert (folders[0] / "config.json").exists()
    assert any("pre-trained on" in note for note in report.training["student"]["notes"])
    from transformers import AutoModelForSequenceClassification

    model, info = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "run" / "student", output_loading_info=True
    )
    assert type(model).__name__ == "DistilBertForSequenceClassification"
    assert not info["missing_keys"]

    # Another run begins with the same body, here with fewer tokens.
    taken: list[Any] = []
    real = arms.take_body

    def take_body(model: Any, folder: Path, kept: Any) -> None:
        real(model, folder, kept)
        rows = model.get_input_embeddings().weight.detach().clone()
        layer = model.base_model.transformer.layer[1].ffn.lin1.weight.detach().clone()
        taken.append((folder, kept, rows, layer))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arms, "take_body", take_body)
        distill(
            task(
                student__vocabulary="trim",
                evaluation__control=False,
                training__epochs=1,
                output=str(tmp_path / "another"),
            )
        )
    (folder, kept, rows, layer), *more = taken
    assert not more
    assert folder == folders[0]
    body = load_file(folder / "model.safetensors")
    table = body["distilbert.embeddings.word_embeddings.weight"]
    assert torch.equal(rows, table[torch.from_numpy(kept)])
    assert len(rows) < len(table)
    assert torch.equal(layer, body["distilbert.transformer.layer.1.ffn.lin1.weight"])


def test_the_plan_tells_what_comes_before(task: Make, tmp_path: Path) -> None:
    """Hours of pre-training must be no surprise."""
    lines = plan_only(task(), cache=tmp_path / "cache")
    (line,) = [line for line in lines if line.startswith("before")]
    assert "tokens of plain text" in line
    assert "words masked" in line


def test_refuses_plain_text_that_nobody_reads(task: Make, tmp_path: Path) -> None:
    """The user believes in a pre-training that never was."""
    with pytest.raises(RecipeError, match="would not be read"):
        plan_only(task(method="logits"), cache=tmp_path / "cache")


def test_refuses_a_teacher_without_a_head_for_words(recipe: Make, random_teacher: Path) -> None:
    """A head of random weights teaches random words at a plausible loss."""
    with pytest.raises(TeacherError, match=r"would be random[\s\S]*pretraining\.teacher"):
        pretrain(recipe(method="distilbert", teacher__path=str(random_teacher)))


def test_refuses_a_teacher_of_other_tokens(task: Make, tmp_path: Path) -> None:
    """The same ids would mean other words in the two trainings."""
    other = make_teacher(tmp_path / "other")
    tree = json.loads((other / "tokenizer.json").read_text())
    tree["model"]["vocab"]["another"] = len(tree["model"]["vocab"])
    (other / "tokenizer.json").write_text(json.dumps(tree))
    wrong = task(method="tinybert", pretraining__teacher=str(other))
    with pytest.raises(RecipeError, match="tokenizers"):
        plan_only(wrong, cache=tmp_path / "cache")


def test_refuses_a_body_of_another_shape(task: Make, tmp_path: Path) -> None:
    """The weights would not fit after hours of pre-training."""
    other = make_teacher(tmp_path / "other", hidden=48)
    wrong = task(method="tinybert", pretraining__teacher=str(other))
    with pytest.raises(RecipeError, match="would not be that of the run's teacher"):
        plan_only(wrong, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "logits"}, r"pretraining\.terms: this is missing"),
        ({"method": "tinybert", "data__plain": []}, r"data\.plain: this is missing"),
        (
            {"pretraining__terms": [{"kind": "exits"}]},
            r"pretraining\.terms\[0\]: exits are classifiers",
        ),
        (
            {
                "student__architecture": "albert",
                "pretraining__terms": [{"kind": "hidden"}],
                "pretraining__layer_by_layer": True,
            },
            "share their weights",
        ),
    ],
)
def test_refuses_what_cannot_be_pretrained(
    recipe: Make, settings: dict[str, Any], message: str
) -> None:
    """Said before a model is loaded, not after."""
    with pytest.raises(LimbeckError, match=message):
        pretrain(recipe(**settings))


def test_refuses_an_output_that_holds_something(recipe: Make, tmp_path: Path) -> None:
    """Somebody's model would be overwritten."""
    (tmp_path / "general").mkdir()
    (tmp_path / "general" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="something is here"):
        pretrain(recipe(method="distilbert"))
