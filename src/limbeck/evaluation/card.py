"""The model card of a student: what it is, what it was measured to be, how to load it."""

from __future__ import annotations

from limbeck.evaluation.report import Performance, Report
from limbeck.tasks.task import Task

_VECTORS = """from sentence_transformers import SentenceTransformer

vectors = SentenceTransformer("<this folder>").encode(["a text"])"""
_ANSWERS = """from transformers import AutoModelForQuestionAnswering, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("<this folder>")
model = AutoModelForQuestionAnswering.from_pretrained("<this folder>")
context = "The river runs to the sea."
inputs = tokenizer("Where to?", context, return_tensors="pt", return_offsets_mapping=True)
places = inputs.pop("offset_mapping")[0].tolist()
inside = [sequence == 1 for sequence in inputs.sequence_ids(0)]
said = model(**inputs)
starts, ends = said.start_logits[0].tolist(), said.end_logits[0].tolist()
tokens = [token for token, of_context in enumerate(inside) if of_context]
pairs = [(first, last) for first in tokens for last in tokens if first <= last < first + 30]
first, last = max(pairs, key=lambda pair: starts[pair[0]] + ends[pair[1]])
print(context[places[first][0] : places[last][1]])  # contexts longer than the model: in windows"""

_RANKS = """from sentence_transformers import CrossEncoder

passages = ["The river runs to the sea.", "It rained all day."]
print(CrossEncoder("<this folder>").rank("Where does the river run?", passages))"""
_TEXTS = {
    "text-generation": """from transformers import pipeline

write = pipeline("text-generation", model="<this folder>")
print(write("Once upon a time", max_new_tokens=20))""",
    "fill-mask": """from transformers import pipeline

fill = pipeline("fill-mask", model="<this folder>")
print(fill(f"The river runs to the {fill.tokenizer.mask_token}."))""",
}


def model_card(report: Report, task: Task) -> str:
    """README.md of the student's folder, in the form that model hubs read."""
    unnamed = "tokens" if task.reads == "prose" else "vectors"
    labels = ", ".join(str(name) for name in report.data["classes"][:20]) or unnamed
    scored = task.apart or task.reads == "queries"
    library = "sentence-transformers" if scored else "transformers"
    verdict = "\n\n".join(report.verdict)
    return f"""---
library_name: {library}
pipeline_tag: {task.pipeline}
tags:
  - knowledge-distillation
  - limbeck
---

# A student of {_teacher(report)}

{verdict}

| | teacher | student |
| --- | --- | --- |
| {report.score_name} on {report.data["test_rows"]:,} rows | \
{_score(report.teacher)} | {_score(report.student)} |
| parameters | {_figure(report.teacher, "parameters", ",")} | \
{_figure(report.student, "parameters", ",")} |
| p50 of one text in ms, transformers, {report.machine["processor"]} | \
{_figure(report.teacher, "latency_ms_p50", ".2f")} | \
{_figure(report.student, "latency_ms_p50", ".2f")} |

{task.name.replace("_", " ").capitalize()}; outputs: {labels}.

```python
{_usage(report, task)}
```

Made by limbeck {report.limbeck_version}, which is not needed to load it. The recipe, the report and
faster ONNX exports lie beside this folder. {_cleaning(report)}
"""


def _usage(report: Report, task: Task) -> str:
    """The lines that answer with it; a pipeline shows one label, unless it is asked for all."""
    if task.apart:
        return _VECTORS
    if task.reads == "queries":
        return _RANKS
    if task.reads == "prose":
        return _TEXTS[task.pipeline]
    if task.reads == "questions":  # transformers 5 has no pipeline for it
        return _ANSWERS
    every = ", top_k=None" if task.problem_type == "multi_label_classification" else ""
    text = '{"text": "a text", "text_pair": "another"}' if report.data.get("pairs") else '"a text"'
    lines = f'''from transformers import pipeline

answer = pipeline("{task.pipeline}", model="<this folder>"{every})
print(answer({text}))'''
    if every:
        lines += "  # each label with its probability; those above 0.5 apply"
    return lines


def _teacher(report: Report) -> str:
    """The model that taught, or the file of its answers."""
    teacher = report.recipe["teacher"]
    answers = teacher.get("answers")
    return str(teacher["path"] if answers is None else answers["train"] or "somebody's answers")


def _score(model: Performance | None) -> str:
    if model is None:
        return "unknown"
    span = model.score
    return f"{span.value:.4f} ({span.low:.4f} to {span.high:.4f})"


def _figure(model: Performance | None, name: str, form: str) -> str:
    figure = None if model is None else getattr(model, name)
    return "unknown" if figure is None else format(figure, form)


def _cleaning(report: Report) -> str:
    used = [name for name, on in report.recipe["data"]["clean"].items() if on]
    if not used:
        return "Texts go in as they are."
    return (
        f"It was trained on texts cleaned by {', '.join(used)}: `limbeck predict` does the same, "
        "a plain pipeline does not."
    )
