"""Recipes from files, settings and words, and the message for every wrong key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from limbeck.config.catalog import METHODS
from limbeck.config.load import checked, dump_recipe, load_recipe, student_from_text
from limbeck.config.recipe import ObjectiveConfig, Recipe, TeacherConfig, TeachRecipe
from limbeck.config.terms import HardTerm, LogitsTerm
from limbeck.errors import RecipeError

RECIPE = {
    "teacher": "some/teacher",
    "data": {"train": "a.jsonl"},
    "objective": {"terms": [{"kind": "hard"}, {"kind": "hidden", "layer_map": {1: 2}}]},
}


def _file(tmp_path: Path, tree: dict[str, Any] | str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree), encoding="utf-8")
    return path


def _refused(tmp_path: Path, tree: dict[str, Any] | str, *settings: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        load_recipe(_file(tmp_path, tree), settings)
    return caught.value


@pytest.mark.parametrize(
    ("tree", "where", "hint", "allowed"),
    [
        ({"trainning": {}}, "trainning", "Did you mean 'training'", "evaluation"),
        ({"training": {"epoch": 3}}, "training.epoch", "Did you mean 'epochs'", "learning_rate"),
        ({"data": {"clean": {"htlm": True}}}, "data.clean.htlm", "'html'", "white_space"),
        ({"student": {"form": [1]}}, "student.form", "Did you mean 'from'", "vocabulary"),
        ({"teacher": {"path": "x", "trust": 1}}, "teacher.trust", "", "trust_remote_code"),
        (
            {"objective": {"terms": [{"kind": "logits", "temprature": 2}]}},
            "objective.terms[0].temprature",
            "Did you mean 'temperature'",
            "divergence",
        ),
    ],
)
def test_refuses_a_mistyped_key_and_suggests_the_right_one(
    tmp_path: Path, tree: dict[str, Any], where: str, hint: str, allowed: str
) -> None:
    """A typo that is ignored trains with the default, for hours, without a word."""
    error = _refused(tmp_path, {"teacher": "x", **tree})
    assert error.where == f"{tmp_path / 'recipe.yaml'}, {where}"
    assert hint in error.found
    assert allowed in error.remedy


@pytest.mark.parametrize(
    ("tree", "where", "found"),
    [
        ({"training": {"epochs": 0}}, "training.epochs", "greater than 0, found 0"),
        ({"training": {"learning_rate": "high"}}, "training.learning_rate", "found 'high'"),
        ({"method": "logit"}, "method", "no method 'logit'. Did you mean 'logits'"),
        ({"student": {"shape": "tinbert4"}}, "student", "Did you mean 'tinybert4'"),
        ({"student": {"layers": 2, "from": [1, 2, 3]}}, "student", "layers is 2 but from names 3"),
        ({"student": {"from": "1,two"}}, "student.from", "'1,two' is no list of layers"),
        ({"objective": {"terms": []}}, "objective.terms", "nothing would be learned"),
        ({"objective": {"terms": [{"kind": "hard", "weight": 0}]}}, "objective.terms", "sum to 0"),
        ({"objective": {"terms": [{"kind": "soft"}]}}, "objective.terms[0]", "'soft'"),
        ({"teacher": {}}, "teacher.path", "this is missing"),
        ({"data": {"validation_share": 1}}, "data.validation_share", "less than 1, found 1"),
    ],
)
def test_refuses_a_wrong_value_and_names_its_key(
    tmp_path: Path, tree: dict[str, Any], where: str, found: str
) -> None:
    """The message must lead to the place and say what stands there."""
    error = _refused(tmp_path, {"teacher": "x"} | tree)
    assert error.where.endswith(f", {where}")
    assert found in error.found


@pytest.mark.parametrize("content", ["a: [1", "a: b: c", "- 1\n- 2", "", "just words", "\t- x"])
def test_refuses_a_file_that_is_no_recipe(tmp_path: Path, content: str) -> None:
    """With the file's name, and without a traceback of the YAML reader."""
    assert str(tmp_path / "recipe.yaml") in _refused(tmp_path, content).where


def test_refuses_a_recipe_that_is_missing_a_folder_or_below_a_file(tmp_path: Path) -> None:
    """All three are slips of the tab key."""
    for path in (tmp_path / "none.yaml", tmp_path, _file(tmp_path, RECIPE) / "x.yaml"):
        with pytest.raises(RecipeError):
            load_recipe(path)


def test_yaml_runs_no_code(tmp_path: Path) -> None:
    """A recipe from a stranger must be safe to read."""
    error = _refused(tmp_path, "teacher: !!python/object/apply:os.getcwd []")
    assert "this is not YAML" in error.found


def test_settings_win_over_values_and_values_over_the_file(tmp_path: Path) -> None:
    """What is typed last and nearest is what was meant."""
    path = _file(tmp_path, RECIPE | {"training": {"epochs": 1, "patience": 9, "batch_rows": 7}})
    recipe = load_recipe(
        path,
        ["training.epochs=3", "data.clean.html=true", "objective.terms.1.layer_map.1=4"],
        {"training.epochs": 2, "training.batch_rows": 8, "data.test": None},
    )
    assert (recipe.training.epochs, recipe.training.batch_rows) == (3, 8)
    assert recipe.training.patience == 9
    assert recipe.data.clean.html
    assert recipe.teacher.path == "some/teacher"
    term = recipe.terms[1]
    assert term.kind == "hidden"
    assert term.layer_map == {1: 4}


def test_a_teacher_given_by_its_path_alone_takes_more_keys(tmp_path: Path) -> None:
    """The short form must not be a dead end."""
    recipe = load_recipe(_file(tmp_path, RECIPE), ["teacher.trust_remote_code=true"])
    assert recipe.teacher.path == "some/teacher"
    assert recipe.teacher.trust_remote_code


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("training.epochs", "there is no '='"),
        ("=5", "there is no key before '='"),
        ("training.epochs=[", "is not YAML"),
        ("training.epochs=5", None),
        ("training.epoch=5", "Did you mean 'epochs'"),
        ("output.x=5", "output is 'runs/x', not a group of keys"),
        ("teacher.path.x=5", "path is 'some/teacher', not a group of keys"),
        ("objective.terms.7.weight=1", "'7' is no place in a list of 2"),
        ("objective.terms.one.weight=1", "'one' is no place in a list of 2"),
        ("data.unlabelled.0.x=1", "0 is 'more.txt', not a group of keys"),
    ],
)
def test_refuses_settings_that_cannot_be_set(
    tmp_path: Path, setting: str, found: str | None
) -> None:
    """Each with its own text, so that one of ten --set is found."""
    tree = RECIPE | {"output": "runs/x", "data": {"unlabelled": ["more.txt"]}}
    if found is None:
        assert load_recipe(_file(tmp_path, tree), [setting]).training.epochs == 5
        return
    error = _refused(tmp_path, tree, setting)
    assert found in error.found
    assert setting in error.where or "training.epoch" in error.where


def test_a_student_in_words() -> None:
    """The command line's short form says the same as the recipe's keys."""
    assert student_from_text("layers=3 from=1,3,5 vocabulary=trim shape=tinybert4") == {
        "layers": 3,
        "from": "1,3,5",
        "vocabulary": "trim",
        "shape": "tinybert4",
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("layer=3", "Did you mean 'layers'"),
        ("layers", "'layers' is not understood"),
        ("layers=[", "is not YAML"),
    ],
)
def test_refuses_student_words_that_are_not_understood(text: str, found: str) -> None:
    """Another student than the one asked for must not be made."""
    with pytest.raises(RecipeError, match="--student") as caught:
        student_from_text(text)
    assert found in caught.value.found


@pytest.mark.parametrize("method", [method.name for method in METHODS])
def test_a_written_recipe_reads_back_as_itself(tmp_path: Path, method: str) -> None:
    """recipe.yaml is what makes a run repeatable."""
    recipe = load_recipe(
        None,
        ["student.layers=2", "data.labels=['0', 'no', bad]"],
        {"teacher": "x", "method": method},
    )
    text = dump_recipe(recipe, "two\nlines")
    assert text.startswith("# two\n# lines\n")
    assert load_recipe(_file(tmp_path, text)) == recipe


def test_a_resolved_recipe_writes_every_default_out() -> None:
    """A default that changes in a later version must not change an old recipe."""

    def keys(model: BaseModel) -> int:
        values = [getattr(model, name) for name in type(model).model_fields]
        return sum(keys(value) if isinstance(value, BaseModel) else 1 for value in values)

    def leaves(tree: Any) -> int:
        return sum(map(leaves, tree.values())) if isinstance(tree, dict) else 1

    recipe = load_recipe(None, values={"teacher": "x"})
    assert leaves(yaml.safe_load(dump_recipe(recipe, ""))) == keys(recipe)
    assert recipe.terms == (HardTerm(weight=0.1), LogitsTerm(weight=0.9))


def test_a_method_sets_what_the_user_leaves_open_and_nothing_else() -> None:
    """A method that overrules the user trains something else than was asked for."""
    tinybert = load_recipe(None, ["stages.0.epochs=7"], {"teacher": "x", "method": "tinybert"})
    assert tinybert.stages[0].name == "intermediate"
    assert tinybert.stages[0].epochs == 7
    without = load_recipe(None, ["stages=[]"], {"teacher": "x", "method": "tinybert"})
    assert without.stages == ()
    own = load_recipe(
        None, ["objective.terms=[{kind: hard}]"], {"teacher": "x", "method": "minilm2"}
    )
    assert own.terms == (HardTerm(),)
    assert [stage.name for stage in own.stages] == ["relations"]


def test_methods_hold_in_python_as_in_files() -> None:
    """The same recipe from keyword arguments must not lose its method's settings."""
    recipe = Recipe(teacher=TeacherConfig(path="x"), method="patient")
    assert [term.kind for term in recipe.terms] == ["hard", "logits", "hidden"]
    kept = Recipe(
        teacher=TeacherConfig(path="x"),
        method="patient",
        objective=ObjectiveConfig(balance="gradients"),
    )
    assert kept.objective.balance == "gradients"
    assert [term.kind for term in kept.terms] == ["hard", "logits", "hidden"]


@pytest.mark.parametrize(
    ("tree", "where", "found"),
    [
        (
            {"objective": {"terms": [{"kind": "hard", "weight": {"shape": "linear", "start": 1,
             "stop": 0, "end": 1.5}}]}},
            "objective.terms[0].weight", "end is 1.5, beyond the last step",
        ),
        (
            {"objective": {"terms": [{"kind": "hard", "weight": {"shape": "step", "values": [1, 0],
             "at": [2.0]}}]}},
            "objective.terms[0].weight", "at is 2.0, beyond the last step",
        ),
        (
            {"objective": {"terms": [{"kind": "hard", "weight": {"shape": "step", "values": [1, 0]}}
             ]}},
            "objective.terms[0].weight", "2 values and 0 places",
        ),
        (
            {"objective": {"terms": [{"kind": "logits", "temperature": {"shape": "linear",
             "start": 4, "stop": 0}}]}},
            "objective.terms[0]", "temperature must be above 0",
        ),
        (
            {"objective": {"terms": [{"kind": "hidden", "layer_map": "evenly"}]}},
            "objective.terms[0].layer_map", "'evenly'",
        ),
        (
            {"ensemble": {"teachers": ["y"], "combine": "weighted", "weights": [0, 0]}},
            "ensemble.weights", "sum to nothing",
        ),
        (
            {"ensemble": {"teachers": ["y"], "combine": "weighted", "weights": [1]}},
            "", "1 numbers, but there are 2 teachers",
        ),
        ({"stages": [{"terms": [{"kind": "hard", "weight": 0}]}]}, "stages[0].terms", "sum to 0"),
        (
            {"data": {"augment": {"by": "masked_lm", "copies": 2}}},
            "data.augment", "one that `limbeck pretrain` makes out of plain text",
        ),
        (
            {"data": {"augment": {"by": "masked_lm", "masked_lm": "y"}}},
            "data.augment", "copies is 0",
        ),
        ({"data": {"augment": {"masked_lm": "y"}}}, "data.augment", "set by to masked_lm"),
        (
            {"stages": [{"terms": [{"kind": "hard"}], "replacing": 1.5}]},
            "stages[0].replacing", "it is from 0 to 1",
        ),
    ],
)  # fmt: skip
def test_refuses_schedules_maps_and_ensembles_that_mean_nothing(
    tmp_path: Path, tree: dict[str, Any], where: str, found: str
) -> None:
    """Each would train for hours towards something that nobody asked for."""
    error = _refused(tmp_path, {"teacher": "x"} | tree)
    assert error.where.endswith(f", {where}" if where else "recipe.yaml")
    assert found in error.found


def test_a_mistyped_key_is_found_in_terms_of_stages_and_in_schedules(tmp_path: Path) -> None:
    """Deep in a recipe a typo is as likely as at its top."""
    stage = {"stages": [{"terms": [{"kind": "attention", "distanse": "kl"}]}]}
    error = _refused(tmp_path, {"teacher": "x"} | stage)
    assert error.where.endswith("stages[0].terms[0].distanse")
    assert "'distance'" in error.found
    ramp = {"shape": "linear", "start": 1, "stop": 0, "begins": 0.5}
    error = _refused(
        tmp_path, {"teacher": "x", "objective": {"terms": [{"kind": "hard", "weight": ramp}]}}
    )
    assert error.where.endswith("objective.terms[0].weight.begins")
    assert "'begin'" in error.found


def test_recipes_cannot_be_changed_in_passing() -> None:
    """What is written to disk must be what ran."""
    recipe = load_recipe(None, values={"teacher": "x"})
    with pytest.raises(ValidationError, match="frozen"):
        recipe.seed = 5  # type: ignore[misc]


def test_the_recipes_of_the_repository_are_valid() -> None:
    """A recipe that does not load is the first thing a user meets."""
    recipes = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
    assert recipes
    for path in recipes:
        load_recipe(path)


def test_a_teach_recipe_is_checked_like_any_other() -> None:
    """The same typos happen there."""
    with pytest.raises(RecipeError, match=r"command line, training\.epoch: .*'epochs'"):
        checked(TeachRecipe, {"base": "x", "data": {}, "training": {"epoch": 1}}, "command line")


def test_reading_recipes_imports_no_torch() -> None:
    """`limbeck --help` and every typo must be answered at once."""
    code = (
        "import sys; from limbeck.config.load import load_recipe; "
        "load_recipe(None, values={'teacher': 'x'}); import limbeck.cli.main; "
        "sys.exit(sum(name in sys.modules for name in ('torch', 'transformers', 'datasets')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_key_says_what_it_is_for() -> None:
    """docs/recipe.md is written from the descriptions."""

    def bare(model: type[BaseModel], way: str) -> list[str]:
        found = []
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found += bare(kind, f"{way}{name}.")
            elif not field.description and name not in ("terms",):
                found.append(way + name)
        return found

    assert bare(Recipe, "") == []


def test_each_way_of_altering_has_its_own_share() -> None:
    """0.4 of the words dropped leaves no text; 0.12 of them replaced leaves the text."""
    words = load_recipe(None, values={"teacher": "x"}).data.augment
    asked = {"teacher": "x", "data.augment.by": "masked_lm", "data.augment.masked_lm": "y"}
    asked |= {"data.augment.copies": 20}
    theirs = load_recipe(None, values=asked).data.augment
    own = load_recipe(None, values=asked | {"data.augment.share": 0.2}).data.augment
    assert (words.by, words.share) == ("words", 0.12)
    assert (theirs.by, theirs.share, theirs.candidates) == ("masked_lm", 0.4, 15)
    assert own.share == 0.2
    again = type(theirs).model_validate(theirs.model_dump())
    assert again == theirs
