"""Sentence embeddings: the whole road, and that others load the student and get its vectors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.distill import distill
from limbeck.errors import LimbeckError
from limbeck.files import read_json
from limbeck.runtime.bulk import answer_all
from limbeck.runtime.onnx_model import OnnxAnswerer
from limbeck.runtime.transformers_model import from_folder

FILLER = ("the", "film", "was", "a", "story", "of", "one", "man", "and", "his", "dog", "island")
FACTS = ("bright", "lovely", "warm", "dull", "awful", "cold")
Encoder = Callable[..., Path]


def _text(generator: np.random.Generator) -> str:
    words = generator.choice(FILLER, size=generator.integers(3, 9)).tolist()
    return " ".join([*words, *generator.choice(FACTS, size=2).tolist()])


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _texts(path: Path, count: int, *, seed: int) -> Path:
    generator = np.random.default_rng(seed)
    return _write(path, [{"text": _text(generator)} for _ in range(count)])


def _pairs(path: Path, count: int, *, seed: int, sign: float = 1.0) -> Path:
    """Pairs that share more words the higher their score."""
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        words = generator.choice(FILLER + FACTS, size=6).tolist()
        kept = int(generator.integers(0, 7))
        others = generator.choice(FILLER + FACTS, size=6 - kept).tolist()
        both = {"text_a": " ".join(words), "text_b": " ".join([*words[:kept], *others])}
        rows.append({**both, "score": sign * kept})
    return _write(path, rows)


@pytest.fixture(scope="session")
def encoder(
    tmp_path_factory: pytest.TempPathFactory, write_tokenizer: Callable[..., Any]
) -> Encoder:
    """Makes a tiny random encoder, saved by sentence-transformers with the wanted modules."""

    def make(
        pooling: str | None = "mean", *, normalize: bool = True, dense: int | None = None
    ) -> Path:
        import torch
        from transformers import BertConfig, BertModel

        folder = tmp_path_factory.mktemp("encoder")
        tokenizer = write_tokenizer(folder / "plain")
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=64,
            initializer_range=0.1,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            BertModel(config).save_pretrained(folder / "plain")
            if pooling is None:
                return folder / "plain"
            st = pytest.importorskip("sentence_transformers")
            from sentence_transformers.base import modules as base
            from sentence_transformers.sentence_transformer import modules as models

            transformer, dense_layer, normalization = base.Transformer, base.Dense, base.Normalize
            modules: list[Any] = [transformer(str(folder / "plain"))]
            modules.append(models.Pooling(32, pooling_mode=pooling))
            modules += [dense_layer(32, dense)] if dense else []
            modules += [normalization()] if normalize else []
            st.SentenceTransformer(modules=modules, device="cpu").save_pretrained(
                str(folder / "model")
            )
        return folder / "model"

    return make


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Any]:
    """Makes a small recipe; keyword ``key__subkey`` sets ``key.subkey``."""
    from limbeck.config.load import load_recipe

    def make(teacher: Path, **more: Any) -> Any:
        values = {
            "teacher.path": str(teacher),
            "data.train": str(_texts(tmp_path / "train.jsonl", 300, seed=1)),
            "data.validation": str(_pairs(tmp_path / "validation.jsonl", 60, seed=2)),
            "data.test": str(_pairs(tmp_path / "test.jsonl", 80, seed=3)),
            "data.max_tokens": 32,
            "student.layers": 2,
            "knowledge.folder": str(tmp_path / "knowledge"),
            "training.epochs": 10,
            "training.learning_rate": 2e-3,
            "training.batch_rows": 32,
            "training.precision": "float32",
            "training.attention": "sdpa",
            "evaluation.bootstrap": 100,
            "evaluation.speed_rounds": 1,
            "evaluation.speed_texts": 10,
            "evaluation.memory": False,
            "output": str(tmp_path / "run"),
        }
        values.update({key.replace("__", "."): value for key, value in more.items()})
        return load_recipe(None, values={k: v for k, v in values.items() if v is not None})

    return make


def _read(path: Path) -> list[str]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row[name] for row in rows for name in ("text_a", "text_b", "text") if name in row]


def test_the_student_is_a_sentence_transformer_with_the_vectors_that_were_measured(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """Users load the folder elsewhere: other vectors there would make every index useless."""
    from limbeck.serve.predictor import Predictor

    st = pytest.importorskip("sentence_transformers")
    report = distill(settings(encoder(), student__vocabulary="trim"))
    assert report.task == "sentence_embeddings"
    assert report.score_name == "Spearman"
    assert "control" not in report.arms
    assert report.student.score.value > 0.8 * report.teacher.score.value
    texts = [*_read(tmp_path / "test.jsonl"), " ".join(5 * FILLER)]  # the last is cut
    theirs = st.SentenceTransformer(str(tmp_path / "run" / "student"), device="cpu").encode(texts)
    predictor = Predictor(tmp_path / "run", bulk=True)
    ours = np.concatenate(list(predictor.stream_probabilities(texts)))
    assert ours.shape == (161, 32)
    exact = predictor.runtime in ("transformers", "onnx", "onnx_fused")
    np.testing.assert_allclose(ours, theirs, atol=1e-5 if exact else 0.05)
    gate = read_json(tmp_path / "run" / "export" / "gate.json")
    assert {one["name"] for one in gate["exports"] if one["accepted"]} >= {"onnx"} or all(
        "slower" in one["reason"] for one in gate["exports"] if one["name"] == "onnx"
    )


@pytest.mark.parametrize(
    ("pooling", "normalize", "dense"),
    [("mean", True, None), ("cls", False, None), ("max", True, None), ("mean", True, 12)],
)
def test_limbeck_gives_the_vectors_of_sentence_transformers(
    encoder: Encoder, tmp_path: Path, pooling: str, normalize: bool, dense: int | None
) -> None:
    """A teacher that is pooled otherwise here than where it was trained teaches other vectors."""
    from limbeck.runtime.bulk import answer_all
    from limbeck.runtime.transformers_model import from_folder

    folder = encoder(pooling, normalize=normalize, dense=dense)
    texts = _read(_texts(tmp_path / "texts.jsonl", 40, seed=5))
    st = pytest.importorskip("sentence_transformers")
    theirs = st.SentenceTransformer(str(folder), device="cpu").encode(texts)
    ours = answer_all(from_folder(str(folder), max_tokens=64), texts)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_narrower_student_gives_vectors_as_wide_as_its_teacher(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """Vectors that are compared with the teacher's must lie in its space, in other programs too."""
    from limbeck.runtime.bulk import answer_all
    from limbeck.runtime.transformers_model import from_folder

    st = pytest.importorskip("sentence_transformers")
    report = distill(
        settings(
            encoder(), student__hidden=16, data__validation=None, data__test=None, student__layers=3
        )
    )
    assert report.score_name == "mean cosine to the teacher"
    assert report.teacher.score.value == pytest.approx(1.0)
    assert report.student.score.value > 0.5
    folder = str(tmp_path / "run" / "student")
    texts = _read(tmp_path / "test.jsonl")
    theirs = st.SentenceTransformer(folder, device="cpu").encode(texts)
    assert theirs.shape == (160, 32)
    ours = answer_all(from_folder(folder, max_tokens=32), texts)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_plain_encoder_with_a_stated_pooling_teaches_a_narrow_space_by_its_neighbors(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """Most encoders say nothing of pooling; vectors of another width have only their neighbors."""
    terms = [
        {"kind": "vectors", "distance": "similarity", "prefixes": [4, 8]},
        {"kind": "hidden", "weight": 0.1},
    ]
    recipe = settings(
        encoder(None),
        teacher__pooling="mean",
        teacher__normalize=True,
        student__hidden=16,
        student__vectors="own",
        objective__terms=terms,
    )
    report = distill(recipe)
    assert report.student.score.value > 0.3
    facts = read_json(tmp_path / "run" / "student" / "modules.json")
    assert [one["path"] for one in facts] == ["", "1_Pooling", "2_Normalize"]


def _refusal(recipe: Any, tmp_path: Path) -> str:
    from limbeck.run.plan import make_plan

    with pytest.raises(LimbeckError) as refused:
        make_plan(recipe, cache=tmp_path / "cache")
    return str(refused.value)


def test_refuses_a_pooling_that_it_does_not_know(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """The mean in its place would be plausible, and another model."""
    message = _refusal(settings(encoder("weightedmean")), tmp_path)
    assert "weightedmean" in message
    assert "mean, cls or max" in message


def test_refuses_a_task_that_no_pooling_is_stated_for(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """A plain encoder has no vectors of texts until somebody says how they are made."""
    recipe = settings(encoder(None), task="sentence_embeddings")
    assert "teacher.pooling" in _refusal(recipe, tmp_path)


@pytest.mark.parametrize(
    ("term", "vectors", "said"),
    [
        ({"distance": "cosine"}, "own", "number by number"),
        ({"distance": "mse"}, "own", "number by number"),
        ({"distance": "similarity", "prefixes": [8, 64]}, "teacher", "a vector has 32"),
        ({"distance": "similarity", "prefixes": [24]}, "own", "a vector has 16"),
    ],
)
def test_refuses_numbers_that_a_vector_has_not(
    encoder: Encoder,
    settings: Callable[..., Any],
    tmp_path: Path,
    term: dict[str, Any],
    vectors: str,
    said: str,
) -> None:
    """Broadcast or cut short, they would train towards another target at a plausible loss."""
    recipe = settings(
        encoder(),
        student__hidden=16,
        student__vectors=vectors,
        objective__terms=[{"kind": "vectors", **term}],
    )
    assert said in _refusal(recipe, tmp_path)


def test_refuses_texts_that_no_neighbor_can_be_told_among(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """With two texts the term of neighbors is 0, and nothing would be learned in silence."""
    few = _write(tmp_path / "few.jsonl", [{"text": "one man"}, {"text": "ONE  man"}])
    assert "1 distinct texts" in _refusal(settings(encoder(), data__train=str(few)), tmp_path)


def test_refuses_the_terms_of_vectors_where_there_are_classes(
    recipe: Callable[..., Any], tmp_path: Path
) -> None:
    """Logits of a classifier are no vectors of texts."""
    made = recipe(objective__terms=[{"kind": "vectors"}])
    assert "gives none" in _refusal(made, tmp_path)


def test_refuses_scores_that_are_distances(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """Turned round, the worst state would be chosen as the best."""
    turned = _pairs(tmp_path / "turned.jsonl", 200, seed=2, sign=-1.0)
    with pytest.raises(LimbeckError, match="Turn the scores round"):
        distill(settings(encoder(), data__validation=str(turned)))


def test_texts_that_are_judged_are_not_trained_on(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """A text of a judged pair leaks even where its partner is another one."""
    from limbeck.run.plan import make_plan

    pairs = _pairs(tmp_path / "p.jsonl", 40, seed=3)
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    mixed = [{"text": row["text_b"].upper()} for row in rows]
    mixed += [{"text": f"{row['text_b']} film film film"} for row in rows]
    train = _write(tmp_path / "mixed.jsonl", mixed)
    made = settings(encoder(), data__train=str(train), data__test=str(pairs))
    plan = make_plan(made, cache=tmp_path / "cache")
    judged = {text.casefold() for text in plan.material.test.texts.texts}
    assert not judged & {text.casefold() for text in plan.material.train.texts.texts}
    assert 0 < len(plan.material.train.texts) <= 40


def test_the_score_is_spearman_of_the_cosines() -> None:
    """The figure must be the one that papers report."""
    from scipy.stats import spearmanr

    from limbeck.tasks.sentence_embeddings import SentenceEmbeddings
    from limbeck.tasks.task import score

    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(60, 5))
    given = generator.integers(0, 6, size=30).astype(np.float64)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = spearmanr((units[::2] * units[1::2]).sum(1), given).statistic
    found = score(SentenceEmbeddings(scored=True), vectors, np.repeat(given, 2))
    assert found == pytest.approx(expected)


def test_the_loss_of_logits_is_cosine_and_neighbors() -> None:
    """What the default learns must be what its page says; it must be 0 for the teacher itself."""
    import torch

    from limbeck.objective import in_batch_similarity_kl, pooled_cosine
    from limbeck.tasks.sentence_embeddings import SentenceEmbeddings

    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 8, 6, generator=generator)
    task = SentenceEmbeddings()
    near = in_batch_similarity_kl(student, teacher, temperature=0.05)
    found = task.soft(student, teacher, temperature=2.0)
    torch.testing.assert_close(found, pooled_cosine(student, teacher) + near)
    torch.testing.assert_close(
        task.soft(student, teacher[:, :4], temperature=2.0).isfinite().all(), torch.tensor(True)
    )
    assert float(task.soft(teacher, teacher, temperature=2.0)) == pytest.approx(0.0, abs=1e-5)


def test_predict_writes_vectors() -> None:
    """Programs read the lines."""
    from limbeck.cli.predicting import _LINES

    lines = list(_LINES["sentence_embeddings"](np.array([[0.5, -0.25], [1.0, 0.0]]), []))
    assert [json.loads(line) for line in lines] == [
        {"vector": [0.5, -0.25]},
        {"vector": [1.0, 0.0]},
    ]


def test_the_term_of_vectors_is_its_functions() -> None:
    """A distance that is another than its name trains towards another target."""
    import torch

    from limbeck.config.terms import VectorsTerm
    from limbeck.objective import in_batch_similarity_kl, pooled_cosine, pooled_mse
    from limbeck.training.vectors import vectors_value

    student, teacher = torch.randn(2, 8, 6, generator=torch.Generator().manual_seed(0))
    for distance, function in (("cosine", pooled_cosine), ("mse", pooled_mse)):
        term = VectorsTerm(distance=distance)
        torch.testing.assert_close(
            vectors_value(term, student, teacher), function(student, teacher)
        )
    term = VectorsTerm(distance="similarity", temperature=0.2, prefixes=(2,))
    parts = [in_batch_similarity_kl(student[:, :size], teacher, temperature=0.2) for size in (2, 6)]
    torch.testing.assert_close(vectors_value(term, student, teacher), sum(parts) / 2)


def test_a_pruned_sentence_encoder_is_still_a_sentence_transformer(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """Its folder must give the vectors that were measured, and its exports must be smaller."""
    st = pytest.importorskip("sentence_transformers")
    pruning = {"heads": 1, "neurons": 16, "embedding_rank": 12}
    report = distill(settings(encoder(dense=12), student__pruning=pruning))
    run = tmp_path / "run"
    assert report.student.score.value > 0.7 * report.teacher.score.value
    texts = _read(tmp_path / "test.jsonl")
    theirs = st.SentenceTransformer(str(run / "student"), device="cpu").encode(texts)
    thin = answer_all(from_folder(str(run / "thin"), max_tokens=32), texts)
    np.testing.assert_allclose(thin, theirs, atol=1e-5)
    exact = OnnxAnswerer(run / "export" / "model.onnx")
    np.testing.assert_allclose(answer_all(exact, texts), theirs, atol=1e-4)
    whole = sum(p.numel() for p in st.SentenceTransformer(str(run / "student")).parameters())
    assert report.student.parameters < whole


def test_models_with_vectors_of_other_widths_are_compared_by_scored_pairs(
    encoder: Encoder, tmp_path: Path
) -> None:
    """Cosines within each model are all that the score needs, and no class is named otherwise."""
    from limbeck.compare import compare
    from limbeck.config.load import load_recipe

    values = {
        "teacher.path": str(encoder()),
        "data.train": str(_pairs(tmp_path / "pairs.jsonl", 40, seed=4)),
        "evaluation.bootstrap": 100,
        "evaluation.speed_rounds": 1,
        "evaluation.speed_texts": 10,
        "evaluation.memory": False,
    }
    found = compare(load_recipe(None, values=values), str(encoder(dense=12)))
    assert found.score_name == "Spearman"
    assert found.rows == 80
    assert found.agreement == 0.0
    assert found.teacher.score.value > 0.5
