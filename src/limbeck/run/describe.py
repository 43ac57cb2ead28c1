"""The plan of a run in words: what `--dry-run` prints and every run begins with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from limbeck.config.terms import Term
from limbeck.files import free_mb
from limbeck.run.online import companion_lines
from limbeck.run.plan import Plan
from limbeck.teacher.family import layer_count


def describe(plan: Plan) -> list[str]:
    """The plan as lines for a person."""
    teacher, student = plan.teacher_counts, plan.student_counts
    counts = plan.material.counts
    layers = layer_count(plan.student.config)
    training = plan.recipe.training
    epochs = training.epochs + sum(stage.epochs or training.epochs for stage in plan.stages)
    lines = [
        *([f"answers   {plan.box.kind}"] if plan.box is not None else []),
        f"{'teacher' if plan.box is None else 'encoder'}   {plan.teacher.path}: "
        f"{layer_count(plan.teacher.config)} layers, {teacher.parameters:,} parameters, "
        f"{teacher.float32_mb:.1f} MB in float32",
        f"student   {_shape(plan, layers)}, "
        f"{student.parameters:,} parameters ({teacher.parameters / student.parameters:.1f}x "
        f"fewer), {student.float32_mb:.1f} MB in float32, about {student.parameters / 1e6:.1f} MB "
        "in int8",
    ]
    if plan.student.teacher_layers:
        taken = ", ".join(map(str, plan.student.teacher_layers))
        lines.append(f"          taken from the teacher's layers {taken}")
    pruning = plan.recipe.student.pruning
    if pruning.wanted:
        left = {"heads": pruning.heads, "neurons": pruning.neurons}
        kept = " and ".join(f"{count} {what}" for what, count in left.items() if count is not None)
        how = "in one shot" if pruning.rounds == 1 else f"in {pruning.rounds} rounds"
        parts = [f"{kept} a layer stay"] if kept else []
        if pruning.embedding_rank is not None:
            parts.append(f"word embeddings of rank {pruning.embedding_rank}")
        lines.append(f"          {', '.join(parts)}, {how}")
        lines.extend(
            f"          then {cut.heads or 'all'} heads and {cut.neurons or 'all'} neurons"
            for cut in pruning.again
        )
    budget, planned = plan.recipe.student.budget, plan.recipe.student.planned
    if budget is not None and planned is not None:
        lines.append(
            f"          for {budget}: {planned.latency_ms:.2f} ms, {planned.texts_per_s:,.0f} "
            f"texts/s and {planned.size_mb:.1f} MB predicted as {planned.runtime}"
        )
    if plan.trimmed is not None:
        kept, whole = len(plan.trimmed.kept), plan.teacher.config.vocab_size
        lines.append(f"          {kept:,} of {whole:,} tokens kept")
    if plan.lengths is not None:
        lines.append(f"          {plan.lengths.in_words()}")
    lines += [
        f"task      {_task_line(plan)}",
        f"texts     train {counts['train_rows_used']:,} ({counts['train_rows_labelled']:,} "
        f"labelled, {counts['train_rows_dropped']:,} dropped as leaks), validation "
        f"{counts['validation_rows']:,}, test {counts['test_rows']:,}"
        + (" (the validation rows: no test file)" if plan.material.tested_on_validation else ""),
        f"          {int(plan.encoded.offsets[-1]):,} training tokens, {_cut_line(plan)}",
        *([f"before    {plan.general.in_words()}"] if plan.general else []),
        *(f"stage     {stage.name}: {_terms_line(stage.terms)}" for stage in plan.stages),
        f"terms     {_terms_line(plan.terms)}",
        *companion_lines(plan),
        f"training  {plan.steps:,} steps in {epochs} epochs"
        + (", and as many for the control arm at most" if plan.recipe.evaluation.control else ""),
        f"knowledge {_knowledge_line(plan)}",
        f"disk      {plan.knowledge_mb:.1f} MB of knowledge in {plan.recipe.knowledge.folder}/, "
        f"{plan.texts_mb:.1f} MB of texts beside it while the run lasts, "
        f"at most {plan.checkpoint_mb:.0f} MB in {plan.recipe.output}/; "
        f"{free_mb(Path(plan.recipe.output)):,.0f} MB are free",
    ]
    return lines


def _task_line(plan: Plan) -> str:
    names = plan.material.names
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    if plan.task.apart:
        return f"{plan.task.name.replace('_', ' ')} ({len(plan.teacher.labels)} numbers a text)"
    if plan.task.reads == "queries":
        return f"{plan.task.name} ({len(plan.encoded):,} candidates to learn from)"
    if plan.task.reads == "prose":
        places = plan.encoded.places
        assert places is not None
        return f"{plan.task.name.replace('_', ' ')} ({len(places.places):,} tokens to foretell)"
    if plan.task.reads == "questions":
        return (
            f"{plan.task.name.replace('_', ' ')} ({' and '.join(names)} of a piece of the context)"
        )
    pairs = ", pairs of texts" if plan.material.train.texts.paired else ""
    return f"{plan.task.name.replace('_', ' ')} ({len(names)}: {shown}){pairs}"


def _cut_line(plan: Plan) -> str:
    encoded = plan.encoded
    if encoded.groups is None:
        return f"{encoded.cut:,} texts cut at {plan.max_tokens} tokens"
    if encoded.tokens is not None:
        return f"{len(encoded):,} blocks of at most {plan.max_tokens} tokens"
    return (
        f"{len(encoded):,} windows of at most {plan.max_tokens} tokens, {encoded.cut:,} questions "
        "cut"
    )


def _terms_line(terms: Sequence[Term]) -> str:
    return "; ".join(map(_term_line, terms))


def _shape(plan: Plan, layers: int) -> str:
    width, kind = plan.student.config.hidden_size, plan.student.config.model_type
    if not layers:
        return f"{kind}, a table of token vectors of {width} numbers"
    same = plan.student.architecture == "same"
    return f"{'' if same else f'{kind} of '}{layers} layers x {width}"


def _knowledge_line(plan: Plan) -> str:
    if not plan.needs_teacher:
        return "none: no term looks at the teacher"
    if plan.box is not None:
        return f"{plan.kind.what()}; from a file"
    asked = "asked again in every step" if plan.recipe.knowledge.source == "live" else "asked once"
    return f"{plan.kind.what()}; {asked}"


def _term_line(term: Term) -> str:
    settings = term.model_dump(exclude={"kind", "weight"}, exclude_none=True)
    inside = ", ".join(f"{key}={value}" for key, value in settings.items())
    weight = term.weight
    shown = f"{weight:g}" if isinstance(weight, float | int) else f"({weight!r})"
    return f"{shown} x {term.kind}" + (f" ({inside})" if inside else "")
