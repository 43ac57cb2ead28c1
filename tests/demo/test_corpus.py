import gc
import re
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck.demo.corpus import DEFAULT, DocstringRow, docstring_corpus

ALPHA = '''
"""
=====
Alpha
=====

The opening prose of a module about growing beans in raised beds.
"""
import does_not_exist  # importing this package fails

def sow(x):
    r"""Sow the *beans* of :class:`~alphapack.Bed` in ``rows``, as in `the book <u>`_ [1]_.

    PyAlphaPack and alphapack.bed sow deep in March.
    The depth, say Jones et al. (1999), is given by::

        depth = 2 * width

    Parameters
    ----------
    x : int
        Never in the text of a row.
    """

def water():
    """
    water(x, y=(1, 2)) -> None

    Water every row in the evening
    without wetting any of the leaves

    >>> water()
    """

def dig():
    """Dig the bed twice a year when the ground is dry, and always with

    - a spade

    """

def hoe():
    """Hoe the bed once a week while the weeds are small. Never use
    - a blunt hoe
    """

def _private():
    """A private helper whose description should never be taken."""

class Bed:
    """A bed holds beans, peas and whatever else the gardener likes.
    Read more in the :ref:`User Guide <beds>`.

    Args:
        soil: Never in the text of a row.
    """

    def rake(self):
        """Rake the bed until the soil is fine enough for seeds."""

    def rake_again(self):
        """Rake the bed, until the soil is FINE enough for seeds!"""

    def shared(self):
        """A sentence that both packages have, word for word the same."""

    def short(self):
        """Too short to take."""

    def formula(self):
        """Return the value of a = {b} for the given width and depth."""

add_newdoc("alphapack.c", "prune", ("old", """
    Prune the old shoots of the bean before the winter comes.
    """))
'''

BETA = {
    "shared": "A sentence that both packages have, word for word the same.",
    "brew": "Brew the coffee at ninety degrees and serve it in small cups.",
    "pour": "Pour the milk like alphapack does, slowly and from high above.",
    "grind": "Grind the beans just before they are needed, never the day before.",
    "rinse": "Rinse the pot with hot water so that it does not cool the brew.",
}


@pytest.fixture
def two_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    sources = {
        "alphapack/__init__.py": "",
        "alphapack/core.py": ALPHA.lstrip(),
        "alphapack/newer.py": "def f(:\n",
        "alphapack/tests/test_core.py": '"""A test describes what is tested and nothing else."""\n',
        "betapack/__init__.py": "",
    } | {
        f"betapack/{name}.py": f'def {name}():\n    """{docstring}"""\n'
        for name, docstring in BETA.items()
    }
    for path, source in sources.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "alphapack", "betapack"


@pytest.fixture
def texts(two_packages: tuple[str, str]) -> dict[str, str]:
    rows = docstring_corpus(two_packages, rows_per_package=50, seed=0)
    return {row.id: row.text for row in rows}


@pytest.fixture(scope="module")
def real_rows() -> list[DocstringRow]:
    return docstring_corpus(("networkx", "numpy"), rows_per_package=200, seed=0)


def test_takes_public_prose_and_nothing_else(texts: dict[str, str]) -> None:
    """A parameter list or a test's docstring would be no description of a package."""
    assert sorted(texts) == [
        "alphapack/core.py:<module>",
        "alphapack/core.py:Bed",
        "alphapack/core.py:Bed.rake",
        "alphapack/core.py:alphapack.c.prune.old",
        "alphapack/core.py:hoe",
        "alphapack/core.py:sow",
        "alphapack/core.py:water",
        "betapack/brew.py:brew",
        "betapack/grind.py:grind",
        "betapack/pour.py:pour",
        "betapack/rinse.py:rinse",
    ]
    assert not any("Never" in text for text in texts.values())


def test_strips_markup_and_masks_names(texts: dict[str, str]) -> None:
    """A name left in a text gives the label away; left markup is no English."""
    assert texts["alphapack/core.py:sow"] == (
        "Sow the beans of Bed in rows, as in the book. package and package.bed sow deep in March."
    )


def test_masks_the_names_of_other_packages(texts: dict[str, str]) -> None:
    """A text that names a neighbor would be sorted by the name, not by what it says."""
    assert texts["betapack/pour.py:pour"] == (
        "Pour the milk like package does, slowly and from high above."
    )


def test_drops_the_link_to_a_user_guide(texts: dict[str, str]) -> None:
    """The sentence stands in one package's docstrings only and would give the label away."""
    assert texts["alphapack/core.py:Bed"] == (
        "A bed holds beans, peas and whatever else the gardener likes."
    )


def test_ends_with_a_whole_sentence(texts: dict[str, str]) -> None:
    """A sentence that stops before its list is half a thought."""
    assert texts["alphapack/core.py:hoe"] == "Hoe the bed once a week while the weeds are small."


def test_drops_signature_and_title(texts: dict[str, str]) -> None:
    """A signature or a heading is no sentence."""
    assert texts["alphapack/core.py:water"] == (
        "Water every row in the evening without wetting any of the leaves."
    )
    assert texts["alphapack/core.py:<module>"].startswith("The opening prose")


def test_takes_docstrings_added_by_a_call(texts: dict[str, str]) -> None:
    """Most of numpy's and torch's core is documented by add_newdoc and add_docstr."""
    assert texts["alphapack/core.py:alphapack.c.prune.old"] == (
        "Prune the old shoots of the bean before the winter comes."
    )


def test_keeps_a_repeated_text_once_and_drops_a_shared_one(texts: dict[str, str]) -> None:
    """A text in both train and test split, or under two labels, makes the score a lie."""
    values = list(texts.values())
    assert sum(text.startswith("Rake the bed") for text in values) == 1
    assert not any("both packages" in text for text in values)


def test_is_the_same_for_the_same_seed(two_packages: tuple[str, str]) -> None:
    """A demo whose rows change from run to run cannot be compared with its own output."""
    first, again = (docstring_corpus(two_packages, rows_per_package=2, seed=3) for _ in range(2))
    assert first == again
    assert sorted(row.label for row in first) == ["alphapack"] * 2 + ["betapack"] * 2


def test_another_seed_takes_other_rows_in_another_order(two_packages: tuple[str, str]) -> None:
    """A seed that only shuffles would hide how much the result depends on the sample."""
    one_file = [
        docstring_corpus(two_packages[:1], rows_per_package=3, seed=seed) for seed in range(6)
    ]
    assert len({frozenset(row.id for row in rows) for rows in one_file}) > 1
    everything = [
        docstring_corpus(two_packages, rows_per_package=50, seed=seed) for seed in range(3)
    ]
    assert len({tuple(row.id for row in rows) for rows in everything}) == 3


def test_does_not_depend_on_the_order_of_the_file_system(
    two_packages: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines list a folder in different orders."""

    def corpora() -> list[list[DocstringRow]]:
        return [docstring_corpus(two_packages, rows_per_package=1, seed=seed) for seed in range(6)]

    expected = corpora()
    rglob = Path.rglob
    monkeypatch.setattr(
        Path, "rglob", lambda self, pattern: sorted(rglob(self, pattern), reverse=True)
    )
    assert corpora() == expected


def test_mixes_the_labels(real_rows: list[DocstringRow]) -> None:
    """A file sorted by label, cut into train and test, would leave labels out of one of them."""
    assert {row.label for row in real_rows[:50]} == {"networkx", "numpy"}


def test_leaves_the_garbage_collector_on(two_packages: tuple[str, str]) -> None:
    """The corpus pauses it; training without it would fill the memory."""
    docstring_corpus(two_packages, rows_per_package=1, seed=0)
    assert gc.isenabled()


def test_is_the_same_in_another_process(two_packages: tuple[str, str], tmp_path: Path) -> None:
    """Hash randomization must not reach the sample through the order of a set."""
    program = (
        f"import sys; sys.path[:0] = {[str(tmp_path), *sys.path]!r}\n"
        "from limbeck.demo.corpus import docstring_corpus\n"
        f"rows = docstring_corpus({two_packages!r}, rows_per_package=2, seed=3)\n"
        "sys.stdout.write(' '.join(row.id for row in rows))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    here = docstring_corpus(two_packages, rows_per_package=2, seed=3)
    assert run.stdout.split() == [row.id for row in here]


def test_never_imports_a_package() -> None:
    """Importing eight packages takes seconds and a gigabyte, and runs code for its docstrings."""
    program = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from limbeck.demo.corpus import docstring_corpus\n"
        "docstring_corpus(('numpy', 'networkx', 'scikit-learn'), rows_per_package=3, seed=0)\n"
        "sys.exit(bool({'numpy', 'networkx', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_real_packages_give_balanced_distinct_rows(real_rows: list[DocstringRow]) -> None:
    """An unbalanced label or a repeated row would flatter the teacher's accuracy."""
    labels = [row.label for row in real_rows]
    assert (labels.count("networkx"), labels.count("numpy")) == (200, 200)
    assert len({row.id for row in real_rows}) == len({row.text for row in real_rows}) == 400


def test_real_packages_give_masked_prose(real_rows: list[DocstringRow]) -> None:
    """What a real docstring holds beyond prose is markup, code and the package's own name."""
    forbidden = re.compile(
        r"(?i)numpy|networkx|\b(np|nx)\b|`|>>>|:\w+:`|----|\.\. \w+::|\\|Parameters$"
    )
    for row in real_rows:
        assert not forbidden.search(row.text), row
        assert 40 <= len(row.text) <= 400
        assert len(row.text.split()) >= 6


def test_the_default_has_eight_packages_that_are_installed() -> None:
    """`make demo` promises eight labels and to install nothing."""
    assert len(DEFAULT) == 8
    rows = docstring_corpus(rows_per_package=1, seed=0)
    assert sorted(row.label for row in rows) == sorted(DEFAULT)


@pytest.mark.parametrize("name", ["alphapak", "alphapack.core"])
def test_refuses_a_package_that_is_not_installed(two_packages: tuple[str, str], name: str) -> None:
    """Its label would be missing from the task without a word."""
    with pytest.raises(ModuleNotFoundError, match=f"Type: pip install {name}"):
        docstring_corpus((*two_packages, name), rows_per_package=2, seed=0)
    assert "alphapack" not in sys.modules


def test_refuses_a_package_without_docstrings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A label without rows would make the task one class smaller than it says."""
    (tmp_path / "mutepack").mkdir()
    (tmp_path / "mutepack" / "__init__.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="'mutepack' has no usable docstring"):
        docstring_corpus(("mutepack",), rows_per_package=2, seed=0)


def test_refuses_a_package_named_twice(two_packages: tuple[str, str]) -> None:
    """All its texts would count as shared and vanish."""
    with pytest.raises(ValueError, match="'betapack' is named twice"):
        docstring_corpus((*two_packages, "betapack"), rows_per_package=2, seed=0)


def test_refuses_no_rows(two_packages: tuple[str, str]) -> None:
    """An empty corpus fails only later, where nothing says why."""
    with pytest.raises(ValueError, match="rows_per_package: found 0"):
        docstring_corpus(two_packages, rows_per_package=0, seed=0)
