"""Tables of token vectors as students of sentence encoders: the whole road, and what is refused."""
# ruff: noqa: F811 (fixtures are imported and then asked for by their names)

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.tasks.test_sentence_embeddings import (  # noqa: F401
    FACTS,
    FILLER,
    Encoder,
    _pairs,
    _read,
    _refusal,
    _texts,
    encoder,
    settings,
)

from limbeck.distill import distill
from limbeck.errors import LimbeckError
from limbeck.files import read_json
from limbeck.runtime.bulk import answer_all
from limbeck.runtime.onnx_model import OnnxAnswerer
from limbeck.runtime.transformers_model import from_folder
from limbeck.tasks.sentence_embeddings import cosines

STATIC: dict[str, Any] = {"student__architecture": "static", "student__layers": None}
UNSCORED: dict[str, Any] = {"data__validation": None, "data__test": None}
ODD = [" ".join(20 * FILLER), "film [SEP] dog [CLS]", "Übermut und 7 xyz", "a", "."]
"""Longer than any limit, with special tokens of its own, with unknown words, and short."""


def _built(recipe: Any, tmp_path: Path) -> tuple[Any, Any]:
    """The untrained student and its plan."""
    from limbeck.run.plan import make_plan
    from limbeck.run.recording import load_teacher
    from limbeck.student.build import build_student

    plan = make_plan(recipe, cache=tmp_path / "cache")
    kept = plan.trimmed.kept if plan.trimmed else None
    teacher = load_teacher(plan).model
    batch = plan.teacher.batch(plan.encoded, np.arange(200))
    built = build_student(
        plan.student, teacher, kept=kept, sample=[batch], seed=0, attention="eager"
    )
    return built.model, plan


def _saved(model: Any, plan: Any, folder: Path) -> str:
    model.save_pretrained(folder)
    plan.student.checkpoint.tokenizer.save_pretrained(folder)
    return str(folder)


def test_the_student_is_a_static_embedding_with_the_vectors_that_were_measured(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """Users load the folder elsewhere: texts cut or framed otherwise there have other vectors."""
    from limbeck.serve.predictor import Predictor

    st = pytest.importorskip("sentence_transformers")
    recipe = settings(
        encoder(), **STATIC, **UNSCORED, student__vocabulary="trim", data__max_tokens=8,
        training__learning_rate=1e-2,
    )  # fmt: skip
    report = distill(recipe)
    run = tmp_path / "run"
    assert report.student.score.value > 0.97
    assert report.student.encoder_parameters == 0
    theirs = st.SentenceTransformer(str(run / "student"), device="cpu")
    assert [type(module).__name__ for module in theirs] == ["StaticEmbedding", "Normalize"]
    assert report.student.parameters == sum(p.numel() for p in theirs.parameters())
    texts = [*_read(tmp_path / "train.jsonl")[:60], *ODD]
    expected = theirs.encode(texts)
    ours = from_folder(str(run / "student"), max_tokens=8)
    np.testing.assert_allclose(answer_all(ours, texts), expected, atol=1e-5)
    np.testing.assert_allclose(ours.logits(ODD[:1]), expected[60:61], atol=1e-5)
    exports = {one.name: one for one in report.exports}
    assert "do not know 'static'" in exports["onnx_fused"].reason
    assert "no model_fused.onnx" in exports["onnx_fused_int8"].reason
    assert exports["onnx"].score_change == pytest.approx(0.0, abs=1e-6)
    predictor = Predictor(run, bulk=True)
    found = np.concatenate(list(predictor.stream_probabilities(texts)))
    assert cosines(found, expected).min() > (0.98 if "int8" in predictor.runtime else 0.999999)


def test_the_export_reads_a_text_whole_as_the_folder_does(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """A service would give other vectors of long texts than those that were indexed."""
    from limbeck.config.recipe import CleanConfig
    from limbeck.export.onnx_files import export_variants
    from limbeck.tasks.sentence_embeddings import SentenceEmbeddings

    model, plan = _built(settings(encoder(normalize=False), **STATIC), tmp_path)
    folder = _saved(model, plan, tmp_path / "static")
    made = export_variants(
        folder,
        tmp_path / "export",
        max_tokens=8,
        clean=CleanConfig(),
        task=SentenceEmbeddings(),
        names=("onnx", "onnx_int8"),
    )
    assert [one.failure for one in made] == [None, None]
    texts = [*ODD, *_read(_texts(tmp_path / "texts.jsonl", 40, seed=5))]
    expected = answer_all(from_folder(folder, max_tokens=8), texts)
    np.testing.assert_allclose(answer_all(OnnxAnswerer(made[0].path), texts), expected, atol=1e-5)
    int8 = answer_all(OnnxAnswerer(made[1].path), texts)
    assert cosines(int8, expected).min() > 0.98
    assert made[1].path.stat().st_size < 0.6 * made[0].path.stat().st_size


def test_a_static_folder_is_evaluated_beside_its_teacher(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """Whoever finds such a folder must be able to judge it."""
    from limbeck.compare import compare, export_gated
    from limbeck.config.load import load_recipe

    path = encoder()
    folder = _saved(*_built(settings(path, **STATIC), tmp_path), tmp_path / "static")
    values = {
        "data.train": str(_pairs(tmp_path / "pairs.jsonl", 40, seed=4)),
        "evaluation.bootstrap": 100,
        "evaluation.speed_rounds": 1,
        "evaluation.speed_texts": 10,
        "evaluation.memory": False,
    }
    found = compare(load_recipe(None, values={**values, "teacher.path": str(path)}), folder)
    assert found.score_name == "Spearman"
    recipe = load_recipe(None, values={**values, "teacher.path": folder})
    exports = {one.name: one for one in export_gated(recipe, tmp_path / "export")}
    assert exports["onnx"].flips == 0


@pytest.mark.parametrize("vocabulary", ["full", "trim"])
def test_a_student_begins_as_what_the_teacher_says_to_single_tokens(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path, vocabulary: str
) -> None:
    """Rows of other tokens, or of tokens without the special ones, would be learned off again."""
    path = encoder("cls", normalize=False, dense=12)
    recipe = settings(path, **STATIC, student__vocabulary=vocabulary)
    model, plan = _built(recipe, tmp_path)
    words = [*FACTS, *FILLER]
    expected = answer_all(from_folder(str(path), max_tokens=32), words)
    ours = answer_all(from_folder(_saved(model, plan, tmp_path / "s"), max_tokens=32), words)
    assert ours.shape == (len(words), 12)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert plan.student_counts.parameters == model.embedding.weight.numel()
    assert plan.student_counts.encoder_parameters == 0


def test_new_weights_are_far_from_the_teacher_and_its_vectors_near(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """What the start buys must be seen; and a table that any seed gives must not pass for it."""
    path = encoder()
    texts = _read(_texts(tmp_path / "texts.jsonl", 60, seed=7))
    wanted = answer_all(from_folder(str(path), max_tokens=32), texts)
    near = {}
    for init in ("teacher", "normal"):
        model, plan = _built(settings(path, **STATIC, student__init=init), tmp_path)
        folder = _saved(model, plan, tmp_path / init)
        found = answer_all(from_folder(folder, max_tokens=32), texts)
        near[init] = float(cosines(found, wanted).mean())
    assert near["teacher"] > 0.8
    assert abs(near["normal"]) < 0.4


def test_a_narrower_table_learns_by_neighbors(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """Vectors of another width have no cosine to the teacher's, but they can find as it does."""
    st = pytest.importorskip("sentence_transformers")
    report = distill(
        settings(encoder(), **STATIC, student__hidden=12, training__learning_rate=1e-2)
    )
    assert report.student.score.value > 0.8 * report.teacher.score.value
    folder = str(tmp_path / "run" / "student")
    texts = _read(tmp_path / "test.jsonl")
    expected = st.SentenceTransformer(folder, device="cpu").encode(texts)
    assert expected.shape == (160, 12)
    np.testing.assert_allclose(
        answer_all(from_folder(folder, max_tokens=32), texts), expected, atol=1e-5
    )


def test_the_narrower_space_is_that_of_the_longest_counted_vectors() -> None:
    """Directions of tokens that no text has would crowd out those that texts are told apart by."""
    import torch

    from limbeck.student.static import principal

    generator = np.random.default_rng(0)
    table = generator.normal(size=(30, 6))
    counts = generator.integers(0, 9, size=30).astype(np.float64)
    weighted = table * np.sqrt(counts + 1)[:, None]
    left, values, right = np.linalg.svd(weighted, full_matrices=False)
    ours, share = principal(torch.from_numpy(table), counts, 2)
    assert share == pytest.approx((values[:2] ** 2).sum() / (values**2).sum())
    near = (left[:, :2] * values[:2]) @ right[:2] / np.sqrt(counts + 1)[:, None]
    np.testing.assert_allclose(ours @ ours.T, near @ near.T, atol=1e-5)
    whole, share = principal(torch.from_numpy(table), counts, 6)
    assert share == pytest.approx(1.0)
    np.testing.assert_allclose(whole @ whole.T, table @ table.T, atol=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
def test_reads_what_sentence_transformers_saved(
    encoder: Encoder, tmp_path: Path, normalize: bool
) -> None:
    """Public static models have no config.json; their vectors must be theirs here, too."""
    st = pytest.importorskip("sentence_transformers")
    import torch
    from sentence_transformers.base import modules as base
    from sentence_transformers.sentence_transformer import modules as models
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(encoder() / "tokenizer.json"))
    tokenizer.no_truncation()
    with torch.random.fork_rng(devices=[]):
        table = models.StaticEmbedding(tokenizer, embedding_dim=8)
    model = st.SentenceTransformer(
        modules=[table, *([base.Normalize()] if normalize else [])], device="cpu"
    )
    model.save_pretrained(str(tmp_path / "theirs"))
    texts = [*ODD, *_read(_texts(tmp_path / "texts.jsonl", 20, seed=5))]
    ours = answer_all(from_folder(str(tmp_path / "theirs"), max_tokens=8), texts)
    np.testing.assert_allclose(ours, model.encode(texts), atol=1e-5)


def test_a_static_model_is_trained_on_and_teaches_its_like_alone(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path, recipe: Callable[..., Any]
) -> None:
    """A finished table is a student to start from; as anything with layers it must be refused."""
    from limbeck.run.trial import trial

    path = encoder()
    folder = _saved(*_built(settings(path, **STATIC), tmp_path), tmp_path / "static")
    begun = settings(path, student__layers=None, student__checkpoint=folder)
    model, plan = _built(begun, tmp_path)
    assert plan.student_counts.encoder_parameters == 0
    word = from_folder(folder, max_tokens=8).logits(["film"])
    np.testing.assert_allclose(
        from_folder(_saved(model, plan, tmp_path / "again"), max_tokens=8).logits(["film"]), word
    )
    taught = trial(
        settings(
            Path(folder),
            **STATIC,
            training__epochs=1,
            training__learning_rate=1e-6,
            training__precision="auto",
            training__attention="auto",
        ),
        folder=tmp_path / "trial",
    )
    assert cosines(taught.student_logits, taught.teacher_logits).min() > 0.999
    assert "no layers can be taken" in _refusal(settings(Path(folder)), tmp_path)
    assert "has 0" in _refusal(settings(path, student__checkpoint=folder), tmp_path)
    assert "none of vectors" in _refusal(
        recipe(student__checkpoint=folder, student__layers=None), tmp_path
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", 2),
        ("from", "1,2"),
        ("heads", 2),
        ("shape", "tinybert4"),
        ("dropout", 0.1),
        ("pruning", {"heads": 1}),
        ("bottleneck", 8),
        ("checkpoint", "somewhere"),
        ("budget", "size<=1MB"),
    ],
)
def test_refuses_what_a_table_has_not(
    settings: Callable[..., Any], tmp_path: Path, key: str, value: Any
) -> None:
    """Left unread, the key would seem to have shaped the student."""
    with pytest.raises(LimbeckError) as refused:
        settings(tmp_path, **{**STATIC, f"student__{key}": value})
    assert key in str(refused.value)
    assert "static" in str(refused.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"objective__terms": [{"kind": "hidden"}]}, "kind hidden looks at layers"),
        ({"objective__terms": [{"kind": "attention"}]}, "kind attention looks at layers"),
        ({"objective__terms": [{"kind": "similarity"}]}, "kind similarity looks at layers"),
        ({"objective__terms": [{"kind": "exits", "layers": [1]}]}, "kind exits looks at layers"),
        (
            {"stages": [{"name": "first", "terms": [{"kind": "hidden"}]}]},
            "stages[0].terms[0]: a term of kind hidden",
        ),
        ({"student__hidden": 33}, "cannot be taken"),
        (
            {"student__hidden": 8, "objective__terms": [{"kind": "vectors", "distance": "mse"}]},
            "number by number",
        ),
    ],
)
def test_refuses_terms_and_widths_that_a_table_cannot_have(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    """There is nothing inside a table to compare with the teacher's layers."""
    assert said in _refusal(settings(encoder(), **STATIC, **more), tmp_path)


def test_refuses_a_table_where_there_are_classes(
    recipe: Callable[..., Any], tmp_path: Path
) -> None:
    """A mean of token vectors has no head."""
    made = recipe(student__architecture="static", student__layers=None)
    assert "sentence_embeddings" in _refusal(made, tmp_path)


@pytest.mark.parametrize("change", ["cut", "dense", "layout", "padding", "NaN"])
def test_refuses_static_folders_that_it_would_read_otherwise(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path, change: str
) -> None:
    """Vectors that differ from what sentence-transformers gives of the same folder mislead."""
    import torch
    from safetensors.torch import save_file

    folder = Path(_saved(*_built(settings(encoder(), **STATIC), tmp_path), tmp_path / "static"))
    tokenizer, modules = folder / "tokenizer.json", folder / "modules.json"
    tree, listed = read_json(tokenizer), read_json(modules)
    weights = {"embedding.weight": torch.full((4, 4), float("nan"))}
    if change == "cut":
        tree["truncation"] = {
            "max_length": 9, "strategy": "LongestFirst", "stride": 0, "direction": "Right"
        }  # fmt: skip
    elif change == "dense":
        listed.append({"idx": 2, "name": "2", "path": "2_Dense", "type": "x.Dense"})
    elif change == "padding":
        gone = ("[PAD]", "[UNK]")
        tree["added_tokens"] = [t for t in tree["added_tokens"] if t["content"] not in gone]
        names = {
            f"{word}x" if word in gone else word: i for word, i in tree["model"]["vocab"].items()
        }
        tree["model"] |= {"vocab": names, "unk_token": "[UNK]x"}
    else:
        save_file({("table" if change == "layout" else n): v for n, v in weights.items()},
                  folder / "model.safetensors")  # fmt: skip
    tokenizer.write_text(json.dumps(tree), encoding="utf-8")
    modules.write_text(json.dumps(listed), encoding="utf-8")
    said = {
        "cut": "9 tokens",
        "dense": "Dense",
        "layout": "table",
        "padding": "[PAD]",
        "NaN": "NaN",
    }
    with pytest.raises(LimbeckError) as refused:
        from_folder(str(folder), max_tokens=8)
    assert said[change] in str(refused.value)
