"""Makes a teacher: a classifier fine-tuned from an encoder on labelled texts."""

from __future__ import annotations

import shutil
from pathlib import Path

from limbeck.config.recipe import TeachRecipe
from limbeck.config.terms import HardTerm
from limbeck.data.encode import encode
from limbeck.data.encoded import Encoded
from limbeck.data.targets import row_targets
from limbeck.data.window_rows import row_ids
from limbeck.errors import OutputError, RecipeError
from limbeck.evaluation.bootstrap import Resamples
from limbeck.files import whole_folder, write_json
from limbeck.machine import cores_or, threads
from limbeck.progress import say
from limbeck.run.material import Datasets, Labelled, Material, first_row, gather_material
from limbeck.tasks.head import OF_TOKENS
from limbeck.tasks.known import task_of_rows
from limbeck.tasks.settling import mark
from limbeck.tasks.task import says_one_thing
from limbeck.teacher.ask import predict_logits
from limbeck.teacher.foretelling import check_head_of_tokens
from limbeck.teacher.load import (
    Checkpoint,
    load_classifier,
    look_at,
    quiet_transformers,
    set_class_names,
)
from limbeck.training.choice import choose
from limbeck.training.lessons import Exam, Lessons
from limbeck.training.log import Log
from limbeck.training.loop import train
from limbeck.training.tokens import TokensSide


def teach(recipe: TeachRecipe, *, datasets: Datasets | None = None) -> float:
    """Fine-tune an encoder into a classifier and write it to the recipe's output folder.

    Interrupted at any moment, the same call goes on from the last checkpoint.

    Args:
        recipe: Base encoder, texts and loop.
        datasets: Splits as `datasets.Dataset` objects, by name.

    Returns:
        The task's score on the test rows, or on validation where there is no test.

    Raises:
        LimbeckError: For anything that the user can mend.
    """
    output = Path(recipe.output)
    if (output / "config.json").exists() or (output.is_dir() and any(output.glob("[!.]*"))):
        raise OutputError(
            str(output),
            "this folder holds something already",
            "Choose a new folder with --output, or delete this one.",
        )
    if recipe.data.augment.copies:
        raise RecipeError(
            "data.augment.copies",
            f"it is {recipe.data.augment.copies}, but altered copies have no labels, and labels "
            "are all that this training learns from",
            "Leave it out; set it where the teacher is distilled.",
        )
    base = look_at(recipe.base, role="base encoder")
    work = output.with_name(f".{output.name}.teaching")
    shown = first_row(recipe.data, datasets) if recipe.task == "auto" else {}
    task = task_of_rows(shown, recipe.data, recipe.task)
    if task.head in OF_TOKENS:
        check_head_of_tokens(base, task.head)
    if task.apart:
        raise RecipeError(
            "task",
            f"it is {task.name}, and a teacher of vectors is not trained on labels",
            "Take a sentence encoder as teacher of `limbeck distill` as it is.",
        )
    material = gather_material(
        recipe.data, None, task=task, seed=recipe.seed, datasets=datasets, folder=work
    )
    with threads(cores_or(recipe.training.threads)):
        score = _teach(recipe, base, material, output, work)
    shutil.rmtree(work, ignore_errors=True)
    return score


def _teach(
    recipe: TeachRecipe,
    base: Checkpoint,
    material: Material,
    output: Path,
    work: Path,
) -> float:
    import torch

    max_tokens = base.max_tokens(recipe.data.max_tokens)

    def encoded(part: Labelled) -> Encoded:
        return encode(part.texts, base.backend, max_tokens=max_tokens, folder=work / "tokens")

    lessons = encoded(material.train)
    machine = choose(recipe.training, base.config, lessons.lengths)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = load_classifier(
            base,
            attention=machine.attention,
            new_head=material.names,
            dropout=recipe.dropout,
            head=material.task.head,
        )
    mark(model.config, material.task)
    train(
        model,
        base,
        (HardTerm(weight=1.0),),
        Lessons(
            encoded=lessons,
            labels=row_targets(material.train.labels, lessons),
            answers=None,
            teacher=None,
            ids=row_ids(material.train.texts, lessons),
            task=material.task,
            tokens=TokensSide.of(0, None, vocabulary=int(base.config.vocab_size))
            if material.task.reads == "prose"
            else None,
        ),
        Exam(encoded(material.validation), material.validation.labels, material.task),
        config=recipe.training,
        machine=machine,
        seed=recipe.seed,
        folder=work / "checkpoints",
        log=Log(work / "log.jsonl", "teacher"),
        name="fine-tuning the teacher",
    )
    logits = predict_logits(model, base, encoded(material.test))
    interval = Resamples(
        {"teacher": material.task.parts(logits, material.test.labels)},
        count=2000,
        confidence=0.95,
        seed=0,
        statistic=material.task.statistic,
    ).score("teacher")
    set_class_names(model.config, material.names)
    with whole_folder(output) as part, quiet_transformers():
        model.cpu().save_pretrained(part)
        base.tokenizer.save_pretrained(part)
        write_json(
            part / "limbeck_teach.json",
            {"score": interval.value, "recipe": recipe.model_dump(mode="json")},
        )
    where = "validation" if material.tested_on_validation else "test"
    say(
        f"{output}: {material.task.score_name} {interval.value:.4f} on {where} "
        f"(interval {interval.low:.4f} to {interval.high:.4f})"
    )
    if says_one_thing(material.task, logits):
        say("  it answers every row alike: train it longer, or at a higher rate")
    return interval.value
