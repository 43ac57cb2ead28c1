"""Labelled text without a network: the docstrings of installed packages.

Each row is the description that opens a docstring; its label is the package it comes from, whose
name is masked. The packages are read as text and never imported.
"""

import ast
import gc
import importlib.util
import inspect
import random
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from limbeck.progress import step

DEFAULT = (
    "matplotlib",
    "networkx",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "sympy",
    "torch",
)

_IMPORT_NAME = {"scikit-learn": "sklearn"}
_ALIASES = {
    "matplotlib": ("mpl", "plt", "pyplot", "pylab"),
    "networkx": ("nx",),
    "numpy": ("np",),
    "pandas": ("pd",),
    "scikit-learn": ("scikit", "scikits", "scikit learn"),
    "transformers": ("hugging face", "huggingface", "hf"),
}
_MASK = "package"

# Tests describe themselves, and vendored code is another package's under a wrong label.
_SKIPPED_PARTS = frozenset(
    {
        "array_api_compat",
        "array_api_extra",
        "conftest.py",
        "externals",
        "test",
        "testing",
        "tests",
        "_vendor",
    }
)
# Candidates read for each row asked for: enough files that a sample is not one module's, few
# enough that the two thousand files of torch are not all parsed.
_CANDIDATES_PER_ROW = 2

_MIN_CHARS, _MAX_CHARS, _MIN_WORDS, _MIN_LETTERS = 40, 400, 6, 0.9

_ADDS = re.compile(r"add_(newdoc|docstr)")
_SIGNATURE = re.compile(
    r"\A(?:[\w.]+\((?:[^()]|\([^()]*\))*\)[ ]*(?:->[^\n]*)?(?:\#[^\n]*)?\n+)+", re.VERBOSE
)
_UNDERLINE = re.compile(r"([=\-~^#*+])\1{2,}\s*")
_SECTION = re.compile(
    r"(Args|Arguments|Attributes|Examples?|Inputs?|Keyword [Aa]rg(ument)?s|Notes?|Outputs?|Params"
    r"|Parameters|Raises|References?|Returns?|See [Aa]lso|Shape|Usage|Warnings?|Yields)\s*(::?|$)"
)
_NOT_PROSE = re.compile(r">>>|\.\. |\s+\S|[-*+•]\s|[|@#$]|:(?![\w:]+:`)|\d+[.)]\s|In \[")
_ROLE = re.compile(r"(?::[\w+.:-]+:)?`([^`]+)`_{0,2}")
_TITLED_LINK = re.compile(r"([^`<]+?)\s*<[^`>]*>")
# With the words that lead to it: "described in [1]_ and [2]_" becomes "described".
_FOOTNOTE = re.compile(
    r"(,?\s\(?(and|by|cf\.|e\.g\.,?|from|in|of|see|[Ss]ee also|to|with))?"
    r"(\s*\[[\w#*-]+\]_|\s\[\d+\](?!\w))\)?"
)
_REFERENCE = re.compile(r"(?<![\w`])(\w+)_(?=[\s.,;)]|$)")
_BOILERPLATE = re.compile(r"\s*Read more in the User Guide\.?")
_EMPHASIS = re.compile(r"(?<![\w*])\*{1,2}(?=\w)|(?<=[\w.])\*{1,2}(?![\w*])")
_SENTENCE_END = re.compile(
    r"(?<!\bi\.e)(?<!\be\.g)(?<!\bvs)(?<!\bal)[.!?][\"')]*(?=\s+[A-Z\"'(]|\s*$)"
)
# Last words that promise a list or a formula, which are not taken.
_PROMISE = re.compile(
    r"[:,]$|\b(and|are|as|by|following|follows|for|from|in|is|of|or|see"
    r"|than|that|the|to|via|where|with)$"
)
_LEFTOVER = re.compile(r"[\\{}|$<>^=~@`*]|%\(|::|://|\s:\s|Copyright|[^\W\d],[^\W\d]|\w\(\w|__\w")


@dataclass(frozen=True)
class DocstringRow:
    """One labelled text; `id` is its file and name, as in "numpy/linalg/_linalg.py:norm"."""

    id: str
    text: str
    label: str


def docstring_corpus(
    packages: Sequence[str] = DEFAULT, *, rows_per_package: int, seed: int
) -> list[DocstringRow]:
    """Descriptions from the docstrings of `packages`, labelled by package and shuffled.

    Names and import aliases of all `packages` are replaced with "package"; types such as
    DataFrame and Tensor stay, since they are what a text is about. A text that occurs twice in a
    package is kept once. One that occurs in two packages has no right label and is dropped.

    Args:
        packages: Top-level packages as pip names them; each name is a label.
        rows_per_package: At most this many rows for each package, fewer where it has no more.
        seed: Decides which files are read, which rows are kept and their order.

    Returns:
        Rows of 40 to 400 characters with distinct ids and texts, the same for the same versions
        of the packages and the same arguments.

    Raises:
        ModuleNotFoundError: If a package is not installed; its label would be missing from the
            task without a word.
        ValueError: If a package is named twice or has no usable docstring (a label without rows),
            or rows_per_package is below 1.
    """
    _check(packages, rows_per_package)
    folders = {label: _folder(label) for label in packages}
    mask = _mask_pattern(packages)
    enough = _CANDIDATES_PER_ROW * rows_per_package
    candidates = {}
    with _collector_paused(), step("reading docstrings", len(folders)) as bar:
        for label, folder in folders.items():
            candidates[label] = _candidates(folder, label, mask, enough, seed)
            bar.advance(1)
    packages_with = Counter(folded for rows in candidates.values() for folded in rows)
    corpus = []
    for label, by_text in candidates.items():
        rows = [row for folded, row in by_text.items() if packages_with[folded] == 1]
        if not rows:
            raise ValueError(
                f"docstring_corpus, packages: {label!r} has no usable docstring below "
                f"{folders[label]}, but each label needs at least one row.\n"
                "Choose a package that is written and documented in Python."
            )
        chosen = random.Random(f"{seed} {label} rows")
        corpus += chosen.sample(rows, min(rows_per_package, len(rows)))
    random.Random(seed).shuffle(corpus)
    return corpus


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Syntax trees hold no cycles; looking for some doubles the time of the corpus."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _check(packages: Sequence[str], rows_per_package: int) -> None:
    if rows_per_package < 1:
        raise ValueError(
            f"docstring_corpus, rows_per_package: found {rows_per_package}, but a label needs at "
            "least one row.\nGive a number of 1 or more."
        )
    twice = [name for name, count in Counter(packages).items() if count > 1]
    if twice:
        raise ValueError(
            f"docstring_corpus, packages: {twice[0]!r} is named twice, but each package is one "
            "label.\nName it once."
        )


def _folder(label: str) -> Path:
    name = _IMPORT_NAME.get(label, label)
    # For a dotted name find_spec would import the parent.
    spec = None if "." in name else importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"docstring_corpus, packages: found no folder of a package {label!r} in this "
            "environment, but its docstrings are the text of the corpus (top-level packages "
            f"only).\nType: pip install {label}, or leave it out of packages."
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _mask_pattern(packages: Sequence[str]) -> re.Pattern[str]:
    names = {name for label in packages for name in (label, _IMPORT_NAME.get(label, label))}
    aliases = {alias for label in packages for alias in _ALIASES.get(label, ())}
    # Longest first, so that "scikit-learn" is not left as "package-learn".
    either = [
        "|".join(re.escape(name) for name in sorted(group, key=lambda name: (-len(name), name)))
        for group in (names, aliases)
    ]
    # A full name gives the label away inside a word too (PyTorch, matplotlibrc); an alias does
    # not (np in "input"). An underscore ends a word here: np_array is masked.
    alias = rf"|(?<![^\W_])(?:{either[1]})(?![^\W_])" if either[1] else ""
    return re.compile(rf"(?<![^\W_])[^\W_]*(?:{either[0]})[^\W_]*{alias}", re.IGNORECASE)


def _candidates(
    folder: Path, label: str, mask: re.Pattern[str], enough: int, seed: int
) -> dict[str, DocstringRow]:
    """Rows by folded text, from whole files in seeded order until there are `enough`."""
    files = sorted(
        file
        for file in folder.rglob("*.py")
        if _SKIPPED_PARTS.isdisjoint(file.relative_to(folder).parts)
    )
    random.Random(f"{seed} {label} files").shuffle(files)
    rows: dict[str, DocstringRow] = {}
    ids = set()
    for file in files:
        path = f"{folder.name}/{file.relative_to(folder).as_posix()}"
        for name, docstring in _docstrings(file):
            # A private helper's text is about the code around it, seldom about the package.
            if name.rpartition(".")[2].startswith("_"):
                continue
            row_id = f"{path}:{name}"
            text = mask.sub(_MASK, _description(docstring))
            # A redefinition (an overload, the other arm of an if) repeats the id.
            if row_id not in ids and _is_prose(text):
                ids.add(row_id)
                rows.setdefault(_folded(text), DocstringRow(row_id, text, label))
        if len(rows) >= enough:
            break
    return rows


def _folded(text: str) -> str:
    """The words of `text` alone: case, digits and punctuation make no new row."""
    return " ".join(re.findall(r"[^\W\d_]+", text.casefold()))


def _docstrings(file: Path) -> Iterator[tuple[str, str]]:
    """Names and docstrings of the module, its classes and its functions, in file order."""
    try:
        with warnings.catch_warnings():
            # Other people's invalid escapes are no concern of this program's user.
            warnings.simplefilter("ignore")
            module = ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError:
        # Packages ship files for newer Pythons than this one, imported behind a version check.
        return
    docstring = ast.get_docstring(module)
    if docstring:
        yield "<module>", docstring
    yield from _members(module.body, "")


def _members(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, str]]:
    for node in body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                docstring = ast.get_docstring(node)
                if docstring:
                    yield prefix + node.name, docstring
                if isinstance(node, ast.ClassDef):
                    yield from _members(node.body, f"{prefix}{node.name}.")
            case ast.If() | ast.Try():
                yield from _members([*node.body, *node.orelse], prefix)
            case ast.Expr(value=ast.Call() as call) if _ADDS.search(ast.unparse(call.func)):
                yield from _added_docstring(call)


def _added_docstring(call: ast.Call) -> Iterator[tuple[str, str]]:
    """The name and docstring in numpy's add_newdoc(...) or torch's add_docstr(...)."""
    strings = [
        node.value
        for node in ast.walk(call)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    if strings:
        docstring = max(strings, key=len)
        names = [string for string in strings if string is not docstring]
        yield ".".join(names) or ast.unparse(call.args[0]), inspect.cleandoc(docstring)


def _description(docstring: str) -> str:
    """The prose that opens a docstring, in one line and without markup; may be empty."""
    paragraphs = [_plain(paragraph) for paragraph in _prose(docstring).split("\n\n")]
    text = " ".join(paragraph for paragraph in map(_finished, paragraphs) if paragraph)
    return _whole_sentences(_BOILERPLATE.sub("", text).strip(), max_chars=_MAX_CHARS)


def _prose(docstring: str) -> str:
    """The lines before the first section, list, formula or example, less signature and title."""
    lines = _SIGNATURE.sub("", docstring).splitlines()
    prose: list[str] = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        underlined = bool(line) and _UNDERLINE.fullmatch(following) is not None
        if _UNDERLINE.fullmatch(line) or (underlined and not prose):
            continue  # the title of a module
        if underlined or _SECTION.match(line):
            break
        if _NOT_PROSE.match(line):
            # Directly below a line, it continues that line's sentence.
            return "\n".join(prose) + (":" if prose and prose[-1] else "")
        prose.append(line.rstrip())
    return "\n".join(prose).strip()


def _plain(paragraph: str) -> str:
    """`paragraph` in one line without roles, links, footnotes, emphasis and backticks."""
    unescaped = paragraph.replace("\\*", "*").replace("\\_", "_")
    text = " ".join(re.sub(r"(?<=\w)-\n\s*", "-", unescaped).split())
    text = _REFERENCE.sub(r"\1", _FOOTNOTE.sub("", text))
    return _EMPHASIS.sub("", _ROLE.sub(_bare_name, text.replace("``", ""))).strip()


def _bare_name(role: re.Match[str]) -> str:
    """Linear for the Sphinx role of ~torch.nn.Linear, the title where a role has one."""
    target = role[1].lstrip("!")
    if target.startswith("~"):
        return target.rpartition(".")[2].lstrip("~")
    return _TITLED_LINK.sub(r"\1", target).lstrip(".")


def _finished(paragraph: str) -> str:
    """`paragraph` with a full stop, without a last sentence that promises what is not taken."""
    if _PROMISE.search(paragraph):
        return _whole_sentences(paragraph, max_chars=len(paragraph))
    closed = not paragraph or paragraph.rstrip("\"')").endswith((".", "!", "?"))
    return paragraph if closed else f"{paragraph}."


def _whole_sentences(text: str, *, max_chars: int) -> str:
    ends = [match.end() for match in _SENTENCE_END.finditer(text) if match.end() <= max_chars]
    return text[: ends[-1]] if ends else ""


def _is_prose(text: str) -> bool:
    letters = sum(char.isalpha() or char.isspace() for char in text)
    return (
        _MIN_CHARS <= len(text) <= _MAX_CHARS
        and len(re.findall(r"\S*[^\W\d_]{2}\S*", text)) >= _MIN_WORDS
        and letters >= _MIN_LETTERS * len(text)
        and text[0].isalpha()
        and len(re.findall(r"[(\[]", text)) == len(re.findall(r"[)\]]", text))
        and _LEFTOVER.search(text) is None
    )
