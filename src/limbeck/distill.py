"""The whole road: texts, teacher, knowledge, student, training, export, evaluation, verdict.

`distill` reads like the table of contents of the package; every step lives in the folder of its
name and can be called alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from limbeck.config.recipe import Recipe
from limbeck.config.terms import HardTerm
from limbeck.data.per_word import Outputs
from limbeck.evaluation.black_box import unasked_warnings
from limbeck.evaluation.bootstrap import Resamples
from limbeck.evaluation.card import model_card
from limbeck.evaluation.measure import (
    Contender,
    Measurements,
    measure,
    performance,
    retention,
    span,
)
from limbeck.evaluation.page import render_page
from limbeck.evaluation.quality import worst_disagreements
from limbeck.evaluation.report import Export, Performance, Report, Span
from limbeck.evaluation.verdict import verdict
from limbeck.evaluation.words import luck
from limbeck.export.gate import best_bulk, best_single, close_gate, judge, variant_contenders
from limbeck.export.onnx_files import Variant, export_variants
from limbeck.files import read_json, whole_file, write_json
from limbeck.machine import cores_or, kept_pages, threads
from limbeck.machine import describe as describe_machine
from limbeck.progress import say
from limbeck.run.arms import OWN_TEXTS, Arm, teacher_contender, teacher_int8, train_arm
from limbeck.run.chain import source_of
from limbeck.run.correction import corrected, without_corrections
from limbeck.run.descent import refuse_undescendable
from limbeck.run.describe import describe
from limbeck.run.folder import RunFolder
from limbeck.run.material import Datasets
from limbeck.run.opening import open_run, planned
from limbeck.run.plan import Plan, make_plan
from limbeck.run.recording import Knowledge, Teacher, ask_teacher, judged_by, load_teacher
from limbeck.run.retention import as_fixed, student_that_keeps, with_small_vocabulary
from limbeck.run.vocabulary import vocabulary_facts
from limbeck.runtime.transformers_model import TransformersAnswerer
from limbeck.tasks.task import says_one_thing
from limbeck.training.choice import Machine
from limbeck.training.log import read_log


def distill(recipe: Recipe, *, datasets: Datasets | None = None) -> Report:
    """Make the recipe's student, prove what is left of its teacher, and write the run's folder.

    Interrupted at any moment, the same call goes on where it stopped. Called again on a
    finished run, it returns that run's report.

    Args:
        recipe: What to do.
        datasets: Splits as `datasets.Dataset` objects, by name (train, unlabelled, validation,
            test), in place of the files that `recipe.data` names.

    Returns:
        Everything that was measured; the same numbers as ``report.json``.

    Raises:
        LimbeckError: For anything that the user can mend, before it costs time where possible.
    """
    recipe, run = with_small_vocabulary(recipe), RunFolder(recipe.output)
    with run.claimed(recipe) as settled:
        if run.report_json.exists():
            say(
                f"{run.path} is finished: its report is returned as it is. To run again on "
                "changed texts, choose another output folder."
            )
            return Report.model_validate(read_json(run.report_json))
        with threads(cores_or(settled.training.threads)), kept_pages():
            return _distill(settled, run, datasets)


def plan_only(recipe: Recipe, *, cache: Path, datasets: Datasets | None = None) -> list[str]:
    """The checked plan of a recipe as lines of text: no weights are read, nothing is trained."""
    plan = make_plan(with_small_vocabulary(recipe), cache=cache, datasets=datasets)
    if recipe.student.keeps is not None:
        refuse_undescendable(plan)
    return describe(plan)


def _distill(recipe: Recipe, run: RunFolder, datasets: Datasets | None) -> Report:
    run.refuse_family()
    plan = planned(recipe, datasets)
    if recipe.student.keeps is not None:
        refuse_undescendable(plan)
    opened = open_run(plan, run)
    plan, recipe, cache = opened.plan, opened.recipe, opened.cache
    teacher, machine = opened.teacher, opened.machine
    knowledge = ask_teacher(plan, teacher, cache=cache)
    plan = judged_by(plan, knowledge)
    arms = {"student": _student(plan, teacher, knowledge, machine, run, cache, datasets)}
    if recipe.student.keeps is not None:
        plan = as_fixed(plan, arms["student"], cache=cache, datasets=datasets)
    if recipe.evaluation.control and plan.material.has_labels:
        labels_alone = (HardTerm(weight=1.0),)
        arms["control"] = train_arm(
            "control", plan, labels_alone, teacher, None, machine, run, cache
        )
    if recipe.evaluation.own_texts and plan.material.added and plan.needs_teacher:
        arms[OWN_TEXTS] = train_arm(
            OWN_TEXTS, plan, plan.terms, teacher, knowledge.train, machine, run, cache
        )
    arms["student"].save(run.student)
    if arms["student"].kept is not None:
        arms["student"].save_thin(run.thin)
    variants = export_variants(
        _smallest(run, arms["student"]),
        run.export,
        max_tokens=plan.max_tokens,
        clean=recipe.data.clean,
        task=plan.task,
        paired=plan.material.train.texts.paired,
        title="exporting the student",
    )
    report = _evaluate(plan, recipe, run, teacher, knowledge.test_logits, arms, variants)
    smaller = corrected(recipe, plan, report, cache=cache)
    if smaller is not None:
        run.write_recipe(smaller)
        return _distill(smaller, run, datasets)  # what is trained already is read, not repeated
    recipe = without_corrections(recipe)
    run.write_recipe(recipe)
    report = report.model_copy(update={"recipe": recipe.model_dump(mode="json", by_alias=True)})
    _finish(plan, recipe, run, report)
    return report


def _student(
    plan: Plan,
    teacher: Teacher,
    knowledge: Knowledge,
    machine: Machine,
    run: RunFolder,
    cache: Path,
    datasets: Datasets | None,
) -> Arm:
    """The trained student: taught by the teacher, or by the last of the recipe's assistants."""
    source = source_of(plan, run, cache=cache, datasets=datasets)
    if source is not plan:
        teacher = load_teacher(source)
        knowledge = ask_teacher(source, teacher, cache=cache)
        source = judged_by(source, knowledge)
    if source.recipe.student.keeps is not None:
        return student_that_keeps(source, teacher, knowledge, machine, run, cache=cache)
    return train_arm("student", source, source.terms, teacher, knowledge.train, machine, run, cache)


def _evaluate(
    plan: Plan,
    recipe: Recipe,
    run: RunFolder,
    teacher: Teacher,
    test_answers: Outputs | None,
    arms: dict[str, Arm],
    variants: Sequence[Variant],
) -> Report:
    """Measure everything in one go, judge the exports, and put it all into a report."""
    test, labels = plan.material.test.texts, plan.material.test.labels
    contenders = _contenders(plan, run, test_answers, arms, variants)
    measured = measure(
        contenders,
        test,
        labels,
        plan.task,
        config=recipe.evaluation,
        max_tokens=plan.max_tokens,
        seed=recipe.seed,
        outside=plan.material.outside,
    )
    parameters = plan.student_counts.parameters
    exports = judge(variants, measured, plan.task, parameters=parameters, config=recipe.export)
    return _report(plan, recipe, run, teacher, contenders, measured, exports, arms)


def _contenders(
    plan: Plan,
    run: RunFolder,
    test_answers: Outputs | None,
    arms: dict[str, Arm],
    variants: Sequence[Variant],
) -> list[Contender]:
    small, contenders = plan.student_counts, teacher_contender(plan, test_answers)
    for name, arm in arms.items():
        if plan.student.checkpoint.family.sdpa:
            arm.model.set_attn_implementation("sdpa")  # as transformers serves it
        longest = plan.student.checkpoint.max_tokens(plan.max_tokens)
        answerer = TransformersAnswerer(arm.model, arm.tokenizer, max_tokens=longest)
        contenders.append(
            Contender(
                name=name,
                runtime="transformers",
                answerer=answerer,
                in_bulk=answerer,
                place=str(_smallest(run, arm)) if name == "student" else None,
                size_mb=small.float32_mb,
                parameters=small.parameters,
                encoder_parameters=small.encoder_parameters,
                train_seconds=arm.outcome.progress.seconds,
            )
        )
    int8 = teacher_int8(plan, run) if plan.box is None else None
    if int8 is not None:
        contenders.append(int8)
    contenders.extend(variant_contenders(variants, small))
    return contenders


def _smallest(run: RunFolder, student: Arm) -> Path:
    """The student's folder, or that of the pruned model without its zeros."""
    return run.student if student.kept is None else run.thin


def _report(
    plan: Plan,
    recipe: Recipe,
    run: RunFolder,
    teacher: Teacher,
    contenders: Sequence[Contender],
    measured: Measurements,
    exports: Sequence[Export],
    arms: dict[str, Arm],
) -> Report:
    from limbeck import __version__

    material, labels = plan.material, plan.material.test.labels
    shown: dict[str, Performance] = {
        contender.name: performance(contender, measured, labels, material.names, plan.task)
        for contender in contenders
        if contender.name in ("teacher", "student", "control", OWN_TEXTS, "teacher_int8")
    }
    resamples = measured.resamples
    others = [name for name in shown if name != "student"]
    fastest = best_single(exports, shown["student"].latency_ms_p50)
    report = Report(
        limbeck_version=__version__,
        machine=describe_machine(),
        recipe=recipe.model_dump(mode="json", by_alias=True),
        task=plan.task.name,
        data={
            **material.counts,
            "classes": material.names,
            "pairs": material.train.texts.paired,
            "max_tokens": plan.max_tokens,
            "train_texts_cut": plan.encoded.cut,
            "test_is_validation": material.tested_on_validation,
            **vocabulary_facts(plan.lengths, plan.crossed.unaligned if plan.crossed else None),
        },
        score_name=plan.task.score_name,
        verdict=[],
        warnings=_warnings(plan, arms, measured),
        teacher=shown.get("teacher"),
        student=shown["student"],
        arms={name: shown[name] for name in others if name != "teacher"},
        retention=retention(resamples),
        agreement=shown["student"].agreement,
        differences=_differences(resamples, fastest, others),
        exports=list(exports),
        best_single=fastest,
        best_bulk=best_bulk(exports, shown["student"].texts_per_s),
        training={
            name: {
                "steps": arm.outcome.progress.step,
                "planned_steps": arm.outcome.total_steps,
                "best_step": arm.outcome.progress.best_step,
                "best_validation_score": arm.outcome.progress.best_score,
                "stopped_early": arm.outcome.progress.stopped_early,
                "seconds": round(arm.outcome.progress.seconds, 1),
                "examples_per_s": round(arm.outcome.rows_per_s, 1),
                "notes": list(arm.notes),
            }
            for name, arm in arms.items()
        }
        | {"teacher_fingerprint": teacher.fingerprint, "knowledge": teacher.kind.in_words()},
        disagreements=[]
        if "teacher" not in shown
        else worst_disagreements(
            material.test.texts,
            labels,
            measured.logits["teacher"],
            measured.logits["student"],
            material.names,
            plan.task,
        ),
    )
    report = report.model_copy(update={"warnings": [*unasked_warnings(report), *report.warnings]})
    return report.model_copy(update={"verdict": verdict(report)})


def _differences(resamples: Resamples, best: str | None, others: Sequence[str]) -> dict[str, Span]:
    """Paired differences of score: of the student, and of the export that would serve."""
    differences = {
        f"student_minus_{name}": span(resamples.difference("student", name)) for name in others
    }
    if best is not None:
        differences |= {
            f"best_single_minus_{name}": span(resamples.difference(best, name))
            for name in others
            if name.startswith("teacher")
        }
    return differences


def _warnings(plan: Plan, arms: dict[str, Arm], measured: Measurements) -> list[str]:
    warnings = []
    rows = len(plan.material.test.texts)
    if plan.material.tested_on_validation:
        warnings.append(
            "There is no test file: scores are those of the validation rows, which chose the best "
            "state, and are a little too good. Give data.test."
        )
    if "teacher" in measured.logits and says_one_thing(plan.task, measured.logits["teacher"]):
        warnings.append(
            "The teacher answers every test row alike: it has nothing to teach. Train it longer, "
            "or at a higher rate."
        )
    shared = plan.material.counts.get("validation_rows_in_test", 0)
    if shared:
        warnings.append(
            f"{shared} validation rows stand in the test rows too: they chose the best state and "
            "judge it."
        )
    left_out = plan.material.counts.get("test_rows_left_out", 0)
    if left_out:
        warnings.append(
            f"{left_out} of {rows} test queries have candidates of one label alone; they are left "
            "out of the score."
        )
    if rows < 500:
        noise = luck(rows, plan.task.score_name)
        warnings.append(f"{rows} test rows are few: differences under {noise} are noise.")
    if plan.encoded.cut > 0.01 * len(plan.material.train.texts):
        share = plan.encoded.cut / len(plan.material.train.texts)
        warnings.append(
            f"{share:.1%} of the training texts are cut at {plan.max_tokens} tokens "
            "(data.max_tokens)."
            if plan.encoded.groups is None
            else f"{share:.1%} of the training questions lose their end (data.question_tokens)."
        )
    if "control" not in arms and not plan.task.apart:
        warnings.append("There is no control arm, so nothing says what the teacher bought.")
    if "teacher_int8" not in measured.logits and plan.box is None:
        warnings.append("The teacher could not be exported to int8, so that arm is missing.")
    best = arms["student"].outcome.progress
    if not best.stopped_early and best.best_step == best.step:
        warnings.append(
            "The student was still improving in its last look at validation: more epochs may help."
        )
    return warnings


def _finish(plan: Plan, recipe: Recipe, run: RunFolder, report: Report) -> None:
    """Write gate and reports; report.json last, because it says that the run is finished."""
    close_gate(
        run.export,
        report.exports,
        recipe.export,
        single=report.best_single,
        bulk=report.best_bulk,
    )
    log = read_log(run.log) if run.log.exists() else []
    with whole_file(run.student / "README.md") as part:
        part.write_text(model_card(report, plan.task), encoding="utf-8")
    with whole_file(run.report_html) as part:
        part.write_text(render_page(report, log), encoding="utf-8")
    write_json(run.report_json, report.model_dump(mode="json"))
    shutil.rmtree(run.checkpoints, ignore_errors=True)
