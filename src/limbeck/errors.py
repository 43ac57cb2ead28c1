"""What limbeck raises when the user's input cannot give a right student."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class LimbeckError(Exception):
    """A mistake that the user can mend, told in four parts.

    The command line prints ``Name: where: found`` and the remedy, and exits with status 2.

    Args:
        where: The file, recipe key, row or folder at fault.
        found: What stands there, with its value, and what harm it would do.
        remedy: What is allowed and what to do, as one or two sentences.
    """

    def __init__(self, where: str, found: str, remedy: str) -> None:
        super().__init__(f"{where}: {found}\n{remedy}")
        self.where = where
        self.found = found
        self.remedy = remedy


class RecipeError(LimbeckError):
    """A recipe, or a command line, that does not say what to do."""


class DataError(LimbeckError):
    """Texts or labels that cannot be read or would train towards a wrong target."""


class TeacherError(LimbeckError):
    """A teacher that cannot be loaded, does not fit the labels, or answers nonsense."""


class KnowledgeError(LimbeckError):
    """Recorded answers that are damaged or belong to something else."""


class StudentError(LimbeckError):
    """A student that cannot be built as asked."""


class TrainingError(LimbeckError):
    """Training that went wrong; the last good state is kept."""


class ExportError(LimbeckError):
    """A run that cannot be exported or answered from."""


class OutputError(LimbeckError):
    """A folder that cannot be written, or that holds something else."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """' Did you mean …?' for the closest allowed word, or '' when none is close."""
    close = get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
