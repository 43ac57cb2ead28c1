"""The one place that lists the methods: a name for a set of terms, and when to choose it."""

from __future__ import annotations

from dataclasses import dataclass

from limbeck.config.terms import HardTerm, HiddenTerm, LogitsTerm, Term


@dataclass(frozen=True)
class Method:
    """A named objective, with what it needs, what it costs and when it pays."""

    name: str
    summary: str
    needs: str
    cost: str
    choose_when: str
    terms: tuple[Term, ...]


METHODS: tuple[Method, ...] = (
    Method(
        name="logits",
        summary="Soft labels: KL to the teacher's tempered classes, plus the hard labels.",
        needs="the teacher's logits (4 bytes a class and text on disk)",
        cost="one pass of the teacher over the texts; then as fast as training on labels",
        choose_when="first, always; with unlabelled texts of your domain it gains most",
        terms=(HardTerm(weight=0.1), LogitsTerm(weight=0.9)),
    ),
    Method(
        name="hidden",
        summary="Soft labels and the hidden states of matched layers (MSE, projected).",
        needs="the teacher's hidden states (2 bytes a number: 768 bytes a token and layer at "
        "384 wide), the same token ids in teacher and student",
        cost="that disk, and reading it in every step",
        choose_when="the student is narrower than the teacher or starts from new weights; compare "
        "it with logits on your data",
        terms=(HardTerm(weight=0.1), LogitsTerm(weight=0.9), HiddenTerm(weight=1.0)),
    ),
    Method(
        name="labels",
        summary="No teacher: cross-entropy to the labels alone. The control arm.",
        needs="labels",
        cost="training alone",
        choose_when="to see what the student would be without a teacher",
        terms=(HardTerm(weight=1.0),),
    ),
)


def method_names() -> list[str]:
    """The names, in the order in which they are listed."""
    return [method.name for method in METHODS]
