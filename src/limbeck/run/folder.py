"""One run on disk: what it holds, whose it is, and how far it came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel

from limbeck.config.load import checked, dump_recipe, read_yaml
from limbeck.config.recipe import Recipe
from limbeck.config.student import StudentConfig
from limbeck.errors import OutputError
from limbeck.files import disk_error, read_json, whole_file, write_json


class RunFolder:
    """The files of one run, below its output folder."""

    def __init__(self, output: str) -> None:
        self.path = Path(output)
        self.recipe = self.path / "recipe.yaml"
        self.log = self.path / "log.jsonl"
        self.student = self.path / "student"
        self.thin = self.path / "thin"
        self.control = self.path / "control"
        self.export = self.path / "export"
        self.points = self.path / "points"
        self.frontier_json = self.path / "frontier.json"
        self.frontier_html = self.path / "frontier.html"
        self.gate = self.export / "gate.json"
        self.checkpoints = self.path / "checkpoints"
        self.report_json = self.path / "report.json"
        self.report_html = self.path / "report.html"

    @contextmanager
    def claimed(self, recipe: Recipe) -> Iterator[Recipe]:
        """Hold the folder for this recipe; choices that it made before are kept.

        Yields:
            The recipe, with ``auto`` replaced by what the folder's recipe settled on.

        Raises:
            OutputError: If another run lives here, or one is running here now.
        """
        self.refuse_others(recipe)
        made = [place for place in [self.path, *self.path.parents] if not place.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, self.path) or OutputError(
                str(self.path), f"this cannot be a folder ({error.strerror})", "Choose another."
            ) from None
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise OutputError(
                str(self.path),
                "another limbeck is working in this folder now",
                "Wait for it, or choose another output folder.",
            ) from None
        try:
            yield self._settled(recipe)
        finally:
            self._leave_no_shell(made)
            lock.release()

    def _leave_no_shell(self, made: list[Path]) -> None:
        """Remove folders that this run made if nothing came to be in them."""
        if not made or any(entry.name != ".lock" for entry in self.path.iterdir()):
            return
        (self.path / ".lock").unlink(missing_ok=True)
        for place in made:
            if any(place.iterdir()):
                return
            place.rmdir()

    def write_recipe(self, recipe: BaseModel, command: str = "distill") -> None:
        """Keep the resolved recipe of what a command makes."""
        header = (
            "The resolved recipe of this run. To run it again:\n"
            f"limbeck {command} {self.recipe} --output <another folder>"
        )
        with whole_file(self.recipe) as part:
            part.write_text(dump_recipe(recipe, header), encoding="utf-8")

    def refuse_family(self) -> None:
        """Refuse a folder that a frontier lives in, for a run of one student."""
        if self.points.exists():
            raise self._another("a frontier", "limbeck frontier")

    def refuse_single(self) -> None:
        """Refuse a folder that a run of one student lives in, for a frontier."""
        if self.student.exists() or self.report_json.exists():
            raise self._another("a run of one student", "limbeck distill")

    def _another(self, what: str, command: str) -> OutputError:
        return OutputError(
            str(self.path),
            f"{what} lives in this folder",
            f"Choose another folder with --output, or go on with it by `{command}`.",
        )

    def hold_to(self, inputs: dict[str, str]) -> None:
        """Keep what this run is made from, or refuse if it is no longer the same.

        Args:
            inputs: Name (of a split, or teacher) to the fingerprint of its content.

        Raises:
            OutputError: If content changed under the same paths since this run began: the rest
                of the run would be of something else.
        """
        path = self.path / "inputs.json"
        if not path.exists():
            write_json(path, inputs)
            return
        before = read_json(path)
        changed = [name for name in inputs if before.get(name) != inputs[name]]
        if changed:
            raise OutputError(
                str(self.path),
                f"the content of {', '.join(changed)} changed since this run began",
                "Choose another folder with --output, or put back what it began with.",
            )

    def stored(self) -> Recipe | None:
        """The recipe that lives here, or None in a new folder."""
        if not self.recipe.exists():
            return None
        return checked(Recipe, read_yaml(self.recipe), str(self.recipe))

    def refuse_others(self, recipe: Recipe) -> None:
        """Refuse a folder that is not this recipe's, before anything is written to it.

        Raises:
            OutputError: Naming the first key in which the recipes differ.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(str(self.path), "this is a file", "Name a folder for the run.")
        stored = self.stored()
        if stored is None:
            alien = [entry.name for entry in self.path.glob("[!.]*")] if self.path.exists() else []
            if alien:
                raise OutputError(
                    str(self.path),
                    f"this folder holds something else ({', '.join(sorted(alien)[:4])})",
                    "Choose an empty or new folder with --output.",
                )
            return
        difference = _first_difference(stored, self._settled(recipe))
        if difference is not None:
            raise OutputError(
                str(self.path),
                f"this folder holds another run: {difference}",
                "Choose another folder with --output, or give that run's own command to go on "
                "with it.",
            )

    def _settled(self, recipe: Recipe) -> Recipe:
        stored = self.stored()
        if stored is None:
            return recipe
        old, new = stored.training, recipe.training
        training = new.model_copy(
            update={
                "precision": old.precision if new.precision == "auto" else new.precision,
                "attention": old.attention if new.attention == "auto" else new.attention,
                "threads": old.threads if new.threads is None else new.threads,
            }
        )
        precision = recipe.knowledge.precision
        if precision == "auto":
            precision = stored.knowledge.precision
        knowledge = recipe.knowledge.model_copy(update={"precision": precision})
        student = _planned_before(stored.student, recipe.student)
        return recipe.model_copy(
            update={"training": training, "knowledge": knowledge, "student": student}
        )


def _planned_before(stored: StudentConfig, wanted: StudentConfig) -> StudentConfig:
    """The student that the same budget became when this run began, where nothing else differs."""
    if not wanted.open_budget or stored.planned is None:
        return wanted
    chosen: dict[str, Any] = {"planned": stored.planned}
    if wanted.layers is None:
        chosen["layers"] = stored.layers
    if "vocabulary" not in wanted.model_fields_set:
        chosen["vocabulary"] = stored.vocabulary
    left = {key: getattr(stored.pruning, key) for key in ("heads", "neurons", "again")}
    chosen["pruning"] = wanted.pruning.model_copy(update=left)
    return wanted.model_copy(update=chosen)


def _first_difference(stored: Recipe, wanted: Recipe) -> str | None:
    old = _flat(stored.model_dump(mode="json", by_alias=True))
    new = _flat(wanted.model_dump(mode="json", by_alias=True))
    for key in [*new, *old]:
        if key != "output" and old.get(key) != new.get(key):
            return f"its {key} is {old.get(key)!r}, this one's is {new.get(key)!r}"
    return None


def _flat(tree: object, prefix: str = "") -> dict[str, object]:
    if isinstance(tree, dict):
        items = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, list):
        items = [(str(index), value) for index, value in enumerate(tree)]
    else:
        return {prefix: tree}
    flat: dict[str, object] = {}
    for key, value in items:
        flat.update(_flat(value, f"{prefix}.{key}" if prefix else key))
    return flat
