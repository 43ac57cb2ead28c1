"""The whole road of language models, causal and masked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import feather

from limbeck.compare import compare, export_gated
from limbeck.distill import distill
from limbeck.errors import TeacherError
from limbeck.files import read_json
from limbeck.serve.predictor import Predictor

BLOCK = 24
CAUSAL, MASKED = "causal_language_modeling", "masked_language_modeling"
Run = tuple[Path, Any]
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def causal_run(causal: Path, make: Make, texts: dict, tmp_path_factory: Any) -> Run:
    """With layers matched, and texts that the teacher alone tells about."""
    folder = tmp_path_factory.mktemp("causal_run")
    terms = [
        {"kind": "hard", "weight": 0.3},
        {"kind": "logits", "weight": 0.6, "temperature": 1.0, "divergence": "jensen_shannon"},
        {"kind": "hidden", "weight": 0.1},
    ]
    settings = {"objective.terms": terms, "data.unlabelled": [texts["unlabelled"]]}
    report = distill(make(causal, CAUSAL, folder, **settings))
    return folder / "run", report


@pytest.fixture(scope="module")
def trimmed_run(causal: Path, make: Make, texts: dict, tmp_path_factory: Any) -> Run:
    """A student of fewer tokens, of a plain file."""
    folder = tmp_path_factory.mktemp("trimmed_run")
    settings = {
        "student.vocabulary": "trim", "data.train": texts["plain"], "evaluation.control": False,
    }  # fmt: skip
    report = distill(make(causal, CAUSAL, folder, **settings))
    return folder / "run", report


@pytest.fixture(scope="module")
def masked_run(masked: Path, make: Make, tmp_path_factory: Any) -> Run:
    """With every block hidden in two ways."""
    folder = tmp_path_factory.mktemp("masked_run")
    report = distill(make(masked, MASKED, folder, **{"data.mask_copies": 2}))
    return folder / "run", report


def _perplexity(model: Any, tokenizer: Any, texts: list[str]) -> tuple[float, int]:
    """Transformers' own loss of each token but a text's first, in blocks that share one token."""
    import torch

    total, count = 0.0, 0
    for text in texts:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        for start in range(0, max(1, ids.shape[1] - 1), BLOCK - 1):
            block = ids[:, start : start + BLOCK]
            if block.shape[1] < 2:
                continue
            with torch.inference_mode():
                loss = model(input_ids=block, labels=block).loss
            total += float(loss) * (block.shape[1] - 1)
            count += block.shape[1] - 1
    return float(np.exp(total / count)), count


@pytest.mark.parametrize("which", ["causal_run", "trimmed_run"])
def test_the_folder_loads_without_limbeck_and_gives_the_reports_perplexity(
    which: str, request: pytest.FixtureRequest, test_texts: list[str]
) -> None:
    """A perplexity that only limbeck can compute is no evidence; nor is one of untied tables."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run, report = request.getfixturevalue(which)
    model = AutoModelForCausalLM.from_pretrained(run / "student").eval()
    tokenizer = AutoTokenizer.from_pretrained(run / "student")
    found, count = _perplexity(model, tokenizer, test_texts)
    assert found == pytest.approx(report.student.metrics["perplexity"], rel=1e-4)
    assert report.student.score.value == pytest.approx(1 / found, rel=1e-4)
    assert count > 500
    assert model.lm_head.weight.data_ptr() == model.transformer.wte.weight.data_ptr()
    assert model.config.vocab_size == len(tokenizer) == model.lm_head.weight.shape[0]


def test_a_trimmed_student_foretells_the_same_tokens(
    trimmed_run: Run, causal: Path, test_texts: list[str]
) -> None:
    """Perplexities a token are comparable only where the tokens are the same."""
    from transformers import AutoConfig, AutoTokenizer

    run, report = trimmed_run
    assert AutoConfig.from_pretrained(run / "student").vocab_size < 340
    own, whole = (AutoTokenizer.from_pretrained(path) for path in (run / "student", causal))
    for text in test_texts:
        assert own.tokenize(text) == whole.tokenize(text)
    assert report.student.score.value > 0.4
    assert report.agreement > 0.7


def test_students_learn_and_the_report_says_so(causal_run: Run, masked_run: Run) -> None:
    """Perplexity, agreement and the control are what a reader looks for."""
    for (run, report), name in ((causal_run, "perplexity"), (masked_run, "pseudo_perplexity")):
        assert report.score_name == "1/" + name.replace("_", "-")
        assert set(report.student.metrics) == {name, "nats_a_token", "accuracy"}
        assert 0.5 < report.agreement < 1
        assert report.retention.value > 0.6
        assert "control" in report.arms
        assert "likeliest token" in report.verdict[0]
        page = (run / "report.html").read_text()
        assert "nan" not in page.replace("explanation", "").lower().split()
        names = {export.name: export for export in report.exports}
        assert names["onnx"].flips == 0
        assert names["onnx"].score.value == pytest.approx(report.student.score.value, rel=1e-3)
        assert names["onnx_int8"].reason == "" or "could not" not in names["onnx_int8"].reason
        assert "pipeline(" in (run / "student" / "README.md").read_text()


def test_reports_keep_their_schema(causal_run: Run) -> None:
    """Programs read it."""
    import jsonschema

    schema = read_json(Path(__file__).parents[2] / "docs" / "report.schema.json")
    jsonschema.validate(read_json(causal_run[0] / "report.json"), schema)


def test_knowledge_is_the_teachers_softmax_readable_without_limbeck(
    causal_run: Run, causal: Path
) -> None:
    """What lies on disk for years must mean what its columns say."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run, _ = causal_run
    tokenizer = AutoTokenizer.from_pretrained(causal)
    model = AutoModelForCausalLM.from_pretrained(causal).eval()
    text = json.loads((Path(_train(run))).read_text().splitlines()[0])["text"]
    ids = torch.tensor([tokenizer(text)["input_ids"][:BLOCK]])
    with torch.inference_mode():
        said = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    shards = [feather.read_table(path) for path in (run.parent / "knowledge").glob("*/*.arrow")]
    table = next(t for t in shards if t.column("id")[0].as_py().startswith("train/1#"))
    row = {name: table.column(name)[0].values.to_numpy() for name in (
        "token_log_probability", "likely_ids", "likely_log_probabilities")}  # fmt: skip
    assert row["likely_ids"].dtype == np.int32
    assert row["likely_log_probabilities"].dtype == np.float32
    values, best = said.topk(8)
    np.testing.assert_array_equal(row["likely_ids"].reshape(-1, 8)[:, 0], best[:, 0].numpy())
    told = row["likely_log_probabilities"].reshape(-1, 8)
    np.testing.assert_allclose(told, values.numpy(), atol=1e-4)
    own = said.gather(1, ids[0, 1:, None])[:, 0].numpy()
    np.testing.assert_allclose(row["token_log_probability"], own, atol=1e-4)


def _train(run: Path) -> str:
    recipe = (run / "recipe.yaml").read_text()
    return next(line for line in recipe.splitlines() if line.strip().startswith("train:")).split()[
        -1
    ]


def _losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line["logits_kl"] for line in lines if "logits_kl" in line]


def _trained(recipe: Any) -> list[float]:
    distill(recipe)
    return _losses(Path(recipe.output))


def test_live_and_recorded_teachers_teach_alike_and_so_do_parts_of_steps(
    causal: Path, make: Make, texts: dict, tmp_path: Path
) -> None:
    """Disk, memory and the number of parts must change the cost of a run and not its student.

    All tokens kept, recorded, are the whole distribution of a live teacher.
    """
    short = {"data.train": texts["unlabelled"], "training.epochs": 1, "evaluation.control": False}
    kept = {"recorded": {}, "live": {"knowledge.source": "live"}}
    kept |= {"parts": {"training.accumulate": 2}}
    kept |= {"all": {"knowledge.top_k": 340}}
    kept |= {"whole": {"knowledge.source": "live", "knowledge.top_k": None}}
    found = {
        name: _trained(make(causal, CAUSAL, tmp_path / name, **short, **settings))
        for name, settings in kept.items()
    }
    assert len(found["recorded"]) > 2
    for name in ("live", "parts"):
        np.testing.assert_allclose(found[name], found["recorded"], rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(found["whole"], found["all"], rtol=2e-3, atol=1e-5)
    assert found["all"][0] > found["recorded"][0]  # coarser classes hide differences


def test_evaluate_and_export_judge_as_the_run_did(
    causal_run: Run, make: Make, texts: dict, causal: Path, tmp_path: Path
) -> None:
    """Two commands that judged the same models differently could not both be believed."""
    run, report = causal_run
    judging = {"data.train": texts["test"], "data.validation": None, "data.test": None}
    found = compare(make(causal, CAUSAL, tmp_path, **judging), str(run / "student"))
    assert found.student.score.value == pytest.approx(report.student.score.value, rel=1e-4)
    assert found.agreement == pytest.approx(report.agreement, abs=1e-3)
    recipe = make(run / "student", CAUSAL, tmp_path, **judging)
    exports = export_gated(recipe, tmp_path / "exported")
    assert exports[0].score.value == pytest.approx(report.student.score.value, rel=1e-3)


def test_evaluate_refuses_other_tokens(
    causal_base: Path,
    causal: Path,
    make: Make,
    texts: dict,
    write_bytes_tokenizer: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """A perplexity a token is lower the more tokens there are."""
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(causal_base)
    model.save_pretrained(tmp_path / "other")
    write_bytes_tokenizer(tmp_path / "other", ["xyz " * 50])
    recipe = make(causal, CAUSAL, tmp_path, **{"data.train": texts["test"]})
    with pytest.raises(TeacherError, match=r"tokens, the teacher into"):
        compare(recipe, str(tmp_path / "other"))


def test_predict_scores_a_text_and_says_what_comes_next(causal_run: Run, causal: Path) -> None:
    """A language model has no label; these two are what it can say of a text."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run, _ = causal_run
    text = "the dull dog was warm the bright sea by island the lovely"
    [said] = Predictor(run).predict([text])
    tokenizer = AutoTokenizer.from_pretrained(run / "student")
    model = AutoModelForCausalLM.from_pretrained(run / "student").eval()
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.inference_mode():
        out = model(input_ids=ids, labels=ids)
    shares = out.logits[0, -1].softmax(-1)
    assert said.foretold.perplexity == pytest.approx(float(out.loss.exp()), rel=1e-2)
    assert said.foretold.tokens == ids.shape[1] - 1
    [likely] = said.foretold.likely
    assert likely[0].token == tokenizer.decode([int(shares.argmax())])
    assert likely[0].probability == pytest.approx(float(shares.max()), abs=0.02)
    assert likely[0].token.strip() in {"man", "dog", "film", "story", "sea"}


def test_predict_fills_gaps(masked_run: Run) -> None:
    """That is what a masked language model is asked; each gap has words of its own."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    run, _ = masked_run
    text = "the dull dog [MASK] warm the bright [MASK] by island"
    said, without = Predictor(run).predict([text, "a dog"])
    tokenizer = AutoTokenizer.from_pretrained(run / "student")
    model = AutoModelForMaskedLM.from_pretrained(run / "student").eval()
    inputs = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**inputs).logits[0][inputs["input_ids"][0] == tokenizer.mask_token_id]
    shares, best = logits.softmax(-1).max(-1)
    found = said.foretold.likely
    assert [one[0].token for one in found] == [tokenizer.decode([index]) for index in best]
    assert [one[0].probability for one in found] == pytest.approx(shares.tolist(), abs=0.05)
    assert said.label == " ".join(one[0].token for one in found)
    assert without.foretold.likely == ()


@pytest.mark.parametrize("which", ["causal_run", "masked_run"])
def test_predict_writes_a_line_a_text(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Programs read the lines."""
    from limbeck.cli.predicting import predict_file

    run, _ = request.getfixturevalue(which)
    rows = tmp_path / "rows.txt"
    rows.write_text("the dull dog [MASK] warm\nthe sea\n")
    predict_file(run, str(rows), None, None, tmp_path / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    if which == "masked_run":
        assert lines[0]["gaps"][0][0]["token"] == "was"
    else:
        assert set(lines[1]) == {"perplexity", "tokens", "next"}


def test_the_masked_students_folder_fills_gaps_in_transformers(masked_run: Run) -> None:
    """It is served without limbeck."""
    from transformers import pipeline

    fill = pipeline("fill-mask", model=str(masked_run[0] / "student"), device="cpu")
    assert fill("the dull dog [MASK] warm")[0]["token_str"] == "was"
