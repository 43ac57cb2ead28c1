"""How scores are told: differences of shares in points, those of other scores as they are."""

from __future__ import annotations

from limbeck.evaluation.report import Span

_LIKELIHOODS = frozenset({"1/perplexity", "1/pseudo-perplexity"})
_NO_SHARES = _LIKELIHOODS | {"Spearman", "Pearson", "mean cosine to the teacher"}


def is_share(score_name: str) -> bool:
    """Whether a score is a share, of rows or labels; correlations and cosines are of nothing."""
    return score_name not in _NO_SHARES


def amount(value: float, score_name: str) -> str:
    """The size of a difference without its sign: ``1.20 points``, or ``0.0120``."""
    return f"{abs(100 * value):.2f} points" if is_share(score_name) else f"{abs(value):.4f}"


def signed(value: float, score_name: str) -> str:
    """A difference as a bare number with its sign: ``+1.20`` (points), or ``+0.0120``."""
    return f"{100 * value:+.2f}" if is_share(score_name) else f"{value:+.4f}"


def luck(rows: int, score_name: str) -> str:
    """About how much of a difference the choice of so few rows makes."""
    if score_name in _LIKELIHOODS:  # it depends on their tokens
        return "what the intervals span"
    return f"{100 / rows**0.5:.0f} points" if is_share(score_name) else f"{rows**-0.5:.2f}"


def change(difference: Span, score_name: str) -> str:
    """A difference with its interval: ``+1.20 points (interval +0.10 to +2.30)``."""
    unit = " points" if is_share(score_name) else ""
    low, high = signed(difference.low, score_name), signed(difference.high, score_name)
    return f"{signed(difference.value, score_name)}{unit} (interval {low} to {high})"


def alike(share: float, rows: str, score_name: str) -> str:
    """On how many rows a student answers as its teacher; numbers are never quite the same."""
    if score_name in _LIKELIHOODS:
        return f"names the teacher's likeliest token at {share:.1%} of the places of {rows}"
    about = "" if is_share(score_name) else "about "
    return f"answers {share:.1%} of {rows} {about}as the teacher does"
