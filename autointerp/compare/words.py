"""Numbers in words, the same in figures, report and terminal."""

from __future__ import annotations

from collections.abc import Sequence

from autointerp.study import WEIGHTED

_METRICS = {
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "auroc": "AUROC of active tokens",
    "average_precision": "average precision of active tokens",
    "r2": "centred r\u00b2",
    "r2_uncentred": "uncentred r\u00b2",
    "absolute_deviation": "absolute deviation (1 less its share)",
}

_COVARIATES = {
    "log_density": "density",
    "peak_entropy": "entropy of peak tokens",
    "peak_log_frequency": "frequency of peak tokens",
    "table_score": "token-table score",
}


def capital(text: str) -> str:
    """`text` with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def metric_words(name: str) -> str:
    """What to call a metric in a sentence or a heading."""
    plain = name.removeprefix(WEIGHTED)
    return ("importance-weighted " if plain != name else "") + _METRICS.get(plain, plain)


def covariate_words(name: str) -> str:
    """What to call a covariate of units."""
    return _COVARIATES.get(name, name)


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def number(value: float | None) -> str:
    """A score to two digits with a true minus sign, `?` when unknown; never `-0.00`."""
    if value is None:
        return "?"
    text = f"{value:.2f}"
    return ("0.00" if float(text) == 0 else text).replace("-", "\u2212")


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """`0.37 [0.28, 0.46]`, or the bare number when there is no interval."""
    return number(value) if low is None or high is None else f"{number(value)} [{number(low)}, {number(high)}]"


def deviation(variance: float | None, low: float | None, high: float | None) -> str:
    """The standard deviation of a variance, `0.031 [0.012, 0.090]`, or without interval; `?` when unknown."""
    if variance is None:
        return "?"
    value = f"{variance**0.5:.3f}"
    return value if low is None or high is None else f"{value} [{low**0.5:.3f}, {high**0.5:.3f}]"


def share_text(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """`12% [3%, 40%]`, or without interval; `?` when unknown."""
    if value is None:
        return "?"
    return f"{value:.0%}" if low is None or high is None else f"{value:.0%} [{low:.0%}, {high:.0%}]"


def p_text(p: float | None) -> str:
    """`p = 0.013`, `p < 0.001`, or nothing when there is no p."""
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
