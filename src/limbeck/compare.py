"""Measures finished models without a run: `limbeck evaluate` and `limbeck export`."""

from __future__ import annotations

from pathlib import Path

from limbeck.config.recipe import Recipe, TeacherConfig
from limbeck.data.encode import encoded_rows
from limbeck.data.per_word import Targets
from limbeck.data.targets import labelled, rows_left_out
from limbeck.data.texts import Texts
from limbeck.errors import DataError, OutputError, RecipeError, TeacherError
from limbeck.evaluation.measure import Contender, measure, performance, retention, span
from limbeck.evaluation.report import Comparison, Export
from limbeck.export.gate import best_bulk, best_single, close_gate, judge, variant_contenders
from limbeck.export.onnx_files import export_variants
from limbeck.machine import cores_or, threads
from limbeck.run.apart import judged_texts
from limbeck.run.material import task_for
from limbeck.runtime.transformers_model import from_folder
from limbeck.student.plan import Counts, count_parameters
from limbeck.tasks.head import head_of
from limbeck.tasks.known import task_of_teacher
from limbeck.tasks.reading import read_texts
from limbeck.tasks.sentence_embeddings import SentenceEmbeddings
from limbeck.tasks.settling import settled
from limbeck.tasks.task import Task, agreement
from limbeck.teacher.load import Checkpoint, look_at


def compare(recipe: Recipe, student: str) -> Comparison:
    """The recipe's teacher and any student on the labelled rows of `data.train`.

    Raises:
        TeacherError: If the two do not tell the same classes apart in the same order.
    """
    teacher = look_at(recipe.teacher)
    place = TeacherConfig(path=student)
    other = look_at(place, role="student")
    task = task_for(teacher.config, recipe, where=teacher.path)
    task_of_teacher(other.config, task.name, where=student)
    named = len(teacher.labels) > 1 and not task.apart  # one number may be called anything
    if named and teacher.labels != other.labels:
        raise TeacherError(
            student,
            f"its classes are {other.labels[:8]}, the teacher's are {teacher.labels[:8]}: their "
            "answers cannot be compared",
            "Compare models with the same class names in the same order (config.json, id2label).",
        )
    task, rows, labels, names = _rows(recipe, teacher, task)
    if task.reads == "prose":
        _refuse_other_tokens(recipe, teacher, other, rows)
    with threads(cores_or(recipe.training.threads)):
        contenders = [
            _served("teacher", recipe.teacher, teacher, recipe.data.max_tokens),
            _served("student", place, other, recipe.data.max_tokens),
        ]
        measured = measure(
            contenders,
            rows,
            labels,
            task,
            config=recipe.evaluation,
            max_tokens=recipe.data.max_tokens,
            seed=recipe.seed,
        )
    shown = [performance(one, measured, labels, names, task) for one in contenders]
    return Comparison(
        score_name=task.score_name,
        rows=len(rows),
        teacher=shown[0],
        student=shown[1],
        retention=retention(measured.resamples),
        agreement=agreement(task, measured.logits["student"], measured.logits["teacher"]),
        difference=span(measured.resamples.difference("student", "teacher")),
    )


def _refuse_other_tokens(
    recipe: Recipe, teacher: Checkpoint, other: Checkpoint, rows: Texts
) -> None:
    """Refuse two language models that cut the rows into other tokens."""
    wished = recipe.data.max_tokens
    limit = min(teacher.max_tokens(wished), other.max_tokens(wished))
    own, theirs = (
        [len(ids) for ids, _, _ in encoded_rows(rows, one.backend, limit)]
        for one in (other, teacher)
    )
    longer = teacher.max_tokens(wished) != other.max_tokens(wished)
    if longer or own != theirs:
        raise TeacherError(
            other.path,
            f"it cuts the rows into {sum(own)} tokens, the teacher into {sum(theirs)}"
            + (", in blocks of other lengths" if longer else "")
            + ": a perplexity a token of the one is none of the other's",
            "Compare language models of one tokenizer, and set data.max_tokens to what both take.",
        )


def export_gated(recipe: Recipe, output: Path) -> list[Export]:
    """Export the recipe's teacher (any classifier) into `output`, each variant through the gate.

    Raises:
        OutputError: If `output` holds something already.
    """
    if output.exists() and any(output.iterdir()):
        raise OutputError(
            str(output), "this folder holds something already", "Choose a new folder."
        )
    model = look_at(recipe.teacher, role="model")
    task = task_for(model.config, recipe, where=model.path)
    task, rows, labels, _ = _rows(recipe, model, task)
    with threads(cores_or(recipe.training.threads)):
        served = _served("student", recipe.teacher, model, recipe.data.max_tokens)
        variants = export_variants(
            recipe.teacher,
            output,
            max_tokens=recipe.data.max_tokens,
            clean=recipe.data.clean,
            task=task,
            paired=rows.paired,
        )
        contenders = [served, *variant_contenders(variants, _counts(model))]
        measured = measure(
            contenders,
            rows,
            labels,
            task,
            config=recipe.evaluation,
            max_tokens=recipe.data.max_tokens,
            seed=recipe.seed,
        )
    assert served.parameters is not None
    exports = judge(variants, measured, task, parameters=served.parameters, config=recipe.export)
    speed = measured.speed["student"]
    close_gate(
        output,
        exports,
        recipe.export,
        single=best_single(exports, speed.latency_ms_p50),
        bulk=best_bulk(exports, speed.texts_per_s),
    )
    return exports


def _served(name: str, config: TeacherConfig, checkpoint: Checkpoint, max_tokens: int) -> Contender:
    counts = _counts(checkpoint)
    answerer = from_folder(config, max_tokens=max_tokens)
    return Contender(
        name=name,
        runtime="transformers",
        answerer=answerer,
        in_bulk=answerer,
        place=checkpoint.path if config.pooling is None else None,
        size_mb=counts.float32_mb,
        parameters=counts.parameters,
        encoder_parameters=counts.encoder_parameters,
    )


def _counts(checkpoint: Checkpoint) -> Counts:
    return count_parameters(checkpoint.config, checkpoint, head=head_of(checkpoint.config))


def _rows(
    recipe: Recipe, checkpoint: Checkpoint, task: Task
) -> tuple[Task, Texts, Targets, list[str]]:
    source = recipe.data.train
    if source is None:
        raise RecipeError("--test", "this is missing", "Name a file of labelled rows.")
    rows = read_texts("test", source, recipe.data, task, labels=True)
    if task.apart:
        return _scored_pairs(rows)
    task = settled(task, recipe.data, [rows])
    names = task.names(rows, recipe.data, checkpoint.labels, source)
    labels = task.targets(rows, names, source=source)
    bare = int((~labelled(labels)).sum())
    if bare:
        raise DataError(
            source,
            f"{bare} of {len(rows)} rows have no label",
            "Every row that is judged needs one; check --label-column.",
        )
    rows_left_out(labels, source)
    return task, rows, labels, names


def _scored_pairs(rows: Texts) -> tuple[Task, Texts, Targets, list[str]]:
    """Pairs with scores as single texts: without a teacher nothing else judges vectors."""
    if not rows.paired:
        raise DataError(
            rows.name,
            "it holds single texts, and vectors are judged by pairs with scores",
            "Give pairs (text_a, text_b) with a score.",
        )
    task = SentenceEmbeddings(scored=True)
    judged = judged_texts(rows, task, folder=None)
    return task, judged.texts, judged.labels, []
