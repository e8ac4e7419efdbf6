"""The report of the run that was worked out by hand, line by line.

See `tests/hand_run.py` for its scores and `tests/compare/test_by_hand.py` for what is made of them. A number here is
that one to two digits (0.625 and 0.875 are ties, which go to the even digit). `~` stands before a p-value of 4,000
random arrangements: it is near what counting all of them gives.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autointerp.compare.outcome import Outcome, read_outcome
from autointerp.compare.words import number, p_text, with_interval
from autointerp.report.answer import answer
from autointerp.report.judges import judges
from autointerp.report.stage import headline, report
from autointerp.rows import ComparisonRow
from autointerp.study import Study
from autointerp.study_file import parse_study
from tests.hand_run import hand_run

ANSWER = """\
SAE features score 0.25 [−0.23, 0.73] (4 of 5 units), neurons 0.50 (5 of 5 units); SAE features minus neurons \
−0.25 [−0.73, 0.23], adjusted p = ~0.405: no difference shown; this run could find 1.04 (80% power); \
only 4 units: the interval may be too narrow. One replicate: the interval is over units alone.
At equal token determinism nothing can be said of SAE features minus neurons: no scored unit of one of them has every \
covariate.
What the model adds to reading the explanations literally was not measured (`simulate.literal`).
If the difference varies between replicates (another text, SAE, draw of units or explanation) with a standard \
deviation of 0.02 / 0.04 / 0.06, the interval of SAE features minus neurons covers 85% / 84% / 84% instead of 85%.
With another unit's explanation instead: SAE features 0.50 [0.11, 0.89], neurons 0.00 [−0.28, 0.28] (chance is 0.00).
On random contexts alone: SAE features minus neurons −1.75 [−2.23, −1.27], adjusted p = ~0.008: SAE features are less \
interpretable than neurons, by this measure; only 4 units: the interval may be too narrow.
A table of mean activation per token, which uses no explanation, reaches: SAE features 0.50, neurons 1.00; the \
explanations minus that, unit by unit: SAE features −0.25 [−0.73, 0.23], neurons −0.50.
"""
KEEP_IN_MIND = """\
- The null of SAE features is not at chance: with another unit's explanation they score 0.50 [0.11, 0.89]. Part of \
their score is text statistics, not the explanation; read it as the difference from that.
- The null rests on 2 pairings of every unit with another unit's explanation, and not on 16: its intervals are wider.
- Only 80% of the sampled SAE features could be scored. Were the others at chance, the mean would be 0.20 instead of \
0.25.
- The simulator sees each token by itself, not its context: part of a gap between arms is how far a token alone \
determines a unit.
- 2 of 5 SAE features are single-token units (at least 95% of their top contexts peak on one token). Randomised models \
have many of those too; see the table by stratum.
- 4 units are few: the interval of the difference is −0.25 [−0.73, 0.23]. Sample 48 or more.
"""
TABLES = {
    "#### On top and random contexts": """\
| arm | mean | median | scored |
| SAE features | 0.25 [−0.23, 0.73] | 0.00 [0.00, 0.50] | 4 |
| neurons | 0.50 | 0.50 | 5 |
""",
    "#### On random contexts alone": """\
| arm | mean | median | scored |
| SAE features | −0.75 [−1.00, −0.27] | −1.00 [−1.00, −0.50] | 4 |
| neurons | 1.00 | 1.00 | 5 |
""",
    "## Coverage": """\
| contexts | arm | why unscored | scored | unscored | excluded | coverage | unscored at chance |
| top and random contexts | SAE features | the request timed out: 1 | 4 | 1 | 1 | 80% | 0.20 |
| top and random contexts | neurons | – | 5 | 0 | 2 | 100% | 0.50 |
| random contexts alone | SAE features | the request timed out: 1 | 4 | 1 | 1 | 80% | −0.60 |
| random contexts alone | neurons | – | 5 | 0 | 2 | 100% | 1.00 |
""",
    "### What chance gives": """\
| arm | another unit's explanation | own minus another's, per unit | p | Holm p | units |
| SAE features | 0.50 [0.11, 0.89] | −0.50 [−1.16, 0.16] | ~0.500 | – | 3 |
| neurons | 0.00 [−0.28, 0.28] | 0.50 [0.22, 0.78] | ~0.125 | – | 5 |
""",
    "### Differences": """\
| contexts | difference of | difference | p | Holm p | could find | units | of medians | superiority |
| top and random contexts | SAE features minus neurons | −0.25 [−0.73, 0.23] | ~0.405 | ~0.405 | 1.04 | 4 v 5 \
| −0.50 [−0.50, 0.00] | 0.25 [0.05, 0.69] |
| random contexts alone | SAE features minus neurons | −1.75 [−2.23, −1.27] | ~0.008 | ~0.008 | 1.04 | 4 v 5 \
| −2.00 [−2.00, −1.50] | 0.00 |
""",  # Features score 1, 0, 0, 0: standard error 0.25, 3 degrees, (3.18 + 0.98) * 0.25
    "### Single-token units and the others": """\
| contexts | units that are | difference of | difference | p | Holm p | could find | units | of medians | superiority |
| top and random contexts | single-token | SAE features minus neurons | 0.00 [−2.08, 2.08] | 1.000 | – | 7.04 \
| 2 v 2 | 0.00 [−0.50, 0.50] | 0.50 [0.05, 0.95] |
| top and random contexts | the others | SAE features minus neurons | −0.50 | ~0.100 | – | – | 2 v 3 | −0.50 | 0.00 |
| random contexts alone | single-token | SAE features minus neurons | −1.50 [−3.58, 0.58] | ~0.333 | – | 7.04 \
| 2 v 2 | −1.50 [−2.00, −1.00] | 0.00 |
| random contexts alone | the others | SAE features minus neurons | −2.00 | ~0.100 | – | – | 2 v 3 | −2.00 | 0.00 |
""",
    "### The ceiling for explanations that name tokens": """\
| arm | top and random contexts | random contexts alone | explanations minus table | units |
| SAE features | 0.50 | 1.00 | −0.25 [−0.73, 0.23] | 4 |
| neurons | 1.00 | 0.50 | −0.50 | 5 |
""",
    "### The same by AUROC of active tokens": """\
| arm | top and random contexts | random contexts alone |
| SAE features | 0.62 [0.38, 0.87] | 0.12 [0.00, 0.37] |
| neurons | 0.75 | 1.00 |
| SAE features minus neurons | −0.12 [−0.37, 0.12] | −0.88 [−1.12, −0.63] |
""",
    "## Examples in context": """\
| arm | rank | unit | explanation | score |
| SAE features | best | `feature/0` | what feature/0 means | 1.00 |
| SAE features | median | `feature/2` | what feature/2 means | 0.00 |
| SAE features | worst | `feature/3` | what feature/3 means | 0.00 |
| neurons | best | `neuron/0+` | what neuron/0+ means | 0.50 |
| neurons | median | `neuron/2+` | what neuron/2+ means | 0.50 |
| neurons | worst | `neuron/4-` | what neuron/4- means | 0.50 |
""",
    "### The units": """\
| arm | orientation | sampled | candidate explanations | density | peak share |
| SAE features | – | 5 | 10 | 3.00% | 60% |
| neurons | 3 up, 2 down | 5 | 10 to 12 | 30.00% | 30% |
""",
    "## Cost": """\
| stage | model | requests | of them from the ledger | tokens in | of them cached | tokens out | dollars \
| saved by the ledger |
| explain | builtin | 1,234 | 34 | 56,789 | 4,321 | 987 | 1.5000 | 777 tokens, 0.2500 |
""",
}  # fmt: skip
"""The tables by heading, without the line that aligns them."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hand_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def text(run: Path) -> str:
    return report(run).read_text("utf8")


def assert_reads(found: str, expected: str) -> None:
    """Word by word, but for what stands after `~`: a p-value may be off by four standard errors of 4,000 draws."""
    words, counted = (re.split(r"~(0\.\d{3})", expected)[start::2] for start in range(2))
    match = re.fullmatch(r"(0\.\d{3})".join(re.escape(part) for part in words), found)
    assert match is not None, f"{found!r} is not {expected!r}"
    for drawn, p in zip(match.groups(), map(float, counted), strict=True):
        assert float(drawn) == pytest.approx(p, rel=0, abs=4 * (p / 4000) ** 0.5)


def test_the_answer_is_what_was_worked_out_by_hand(run: Path, text: str) -> None:
    assert_reads(headline(run) + "\n", ANSWER)
    first, *rest = ANSWER.splitlines()
    parts = text.split("\n\n")
    assert_reads(parts[1], f"**{first}**")
    assert parts[2:4] == [rest[0], rest[1].replace("`", "\\`")]
    assert text.partition("## Variance\n\n")[2].split("\n\n")[1] == rest[2]
    listed = text.partition("## Arms and controls\n\n")[2].partition("\n\n")[0]
    assert_reads(listed, "\n".join(f"- {line}" for line in rest[3:]))


def test_what_to_keep_in_mind_is_what_was_worked_out_by_hand(text: str) -> None:
    said = text.partition("## Keep in mind\n\n")[2].partition("\n\n")[0]
    *numbers, last = said.splitlines()
    assert "\n".join(numbers) + "\n" == KEEP_IN_MIND
    assert last.startswith("- One training of the SAE, one draw of text")


@pytest.mark.parametrize("heading", TABLES)
def test_a_table_of_the_report_is_what_was_worked_out_by_hand(text: str, heading: str) -> None:
    section = re.split(r"\n#", text.partition(f"\n{heading}\n")[2])[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert set(lines.pop(1)) == set("| -:")
    assert_reads("\n".join(lines) + "\n", TABLES[heading])


def test_the_report_has_no_other_table(text: str) -> None:
    assert text.count("\n| ---") == len(TABLES)


def test_sentences_beside_the_tables_state_the_runs_own_numbers(text: str) -> None:
    assert "with 85% intervals over units" in text
    assert "(mean over 2 seeded derangements)" in text
    assert "was asked in advance (1 of these), the other 1 questions of this score" in text
    assert "1,250 attempts were sent to endpoints for 1,200 requests." in text  # 1,234 less the 34 of the ledger
    assert "7 of them ended without word of what was used" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "?"), (0.0, "0.00"), (-0.0, "0.00"), (-0.004, "0.00"), (-0.006, "−0.01"), (0.996, "1.00"), (-1.0, "−1.00")],
)
def test_a_number_has_two_digits_and_a_true_minus(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_an_interval_is_written_whole_or_not_at_all() -> None:
    assert with_interval(0.374, -0.126, 0.456) == "0.37 [−0.13, 0.46]"
    assert with_interval(0.374, None, 0.456) == with_interval(0.374, -0.126, None) == "0.37"


@pytest.mark.parametrize(
    ("p", "shown"), [(None, ""), (0.0004, "p < 0.001"), (0.001, "p = 0.001"), (0.0126, "p = 0.013"), (1.0, "p = 1.000")]
)
def test_a_p_is_written_to_three_digits_or_as_below_them(p: float | None, shown: str) -> None:
    assert p_text(p) == shown


NOTHING: dict[str, Any] = {
    "n_baseline": None, "excluded": None, "coverage": None, "reasons": "", "mean": None, "low": None, "high": None,
    "median": None, "median_low": None, "median_high": None, "mean_unscored_at_chance": None,
}  # fmt: skip


def judged(metric: str, arm: str, pairing: str = "own", baseline: str = "", **numbers: Any) -> ComparisonRow:
    cell: dict[str, Any] = {"scorer": "detection", "metric": metric, "slice": "judged", "stratum": "all"}
    known = {**NOTHING, "unscored": 0, "chance": 0.5, **numbers}
    return ComparisonRow(**cell, arm=arm, pairing=pairing, baseline=baseline, **known)


def judged_study() -> Study:
    return parse_study({"judge": {"methods": ["detection"]}})


def test_a_judges_table_puts_every_number_in_its_own_column(run: Path) -> None:
    """No two numbers are alike, so none can stand for another."""
    rows = (
        judged("auroc", "feature", n=7, unscored=2, reasons="too few: 2", mean=0.91, low=0.81, high=0.96, median=0.5,
               median_low=0.4, median_high=0.6),
        judged("auroc", "neuron", n=8, unscored=0, mean=0.71, low=0.61, high=0.76),
        judged("auroc", "feature", "shuffled", n=9, mean=0.52, low=0.47, high=0.57),
        judged("auroc", "neuron", "shuffled", n=8, mean=0.53, low=0.48, high=0.58),
        judged("auroc", "feature", baseline="neuron", n=7, n_baseline=8, mean=0.91, low=0.81, high=0.96,
               difference=0.2, difference_low=0.05, difference_high=0.35, superiority=0.88, p=0.0213, p_holm=0.42),
        judged("auroc", "feature", baseline="shuffled", n=6, n_baseline=6, mean=0.91, low=0.81, high=0.96,
               difference=0.39, difference_low=0.24, difference_high=0.49, superiority=0.99, p=0.0004, p_holm=0.17),
        judged("auroc", "neuron", baseline="shuffled", n=8, n_baseline=8, mean=0.71, low=0.61, high=0.76,
               difference=0.18, difference_low=0.03, difference_high=0.33, superiority=0.77, p=0.0346, p_holm=0.66),
        judged("f1", "feature", n=7, unscored=2, reasons="too few: 2", chance=2 / 3, mean=0.84, low=0.74, high=0.94),
    )  # fmt: skip
    outcome = replace(read_outcome(run), study=judged_study(), rows=rows)
    lines = [line for line in judges(outcome).splitlines() if line.startswith("|")]
    del lines[1]
    assert lines == [
        "| metric | arm | why unscored | chance | own explanation | another unit's | own minus another's | p "
        "| scored |",
        "| auroc | SAE features | too few: 2 | 0.50 | 0.91 [0.81, 0.96] | 0.52 [0.47, 0.57] | 0.39 [0.24, 0.49] "
        "| < 0.001 | 7 of 9 |",
        "| auroc | neurons | – | 0.50 | 0.71 [0.61, 0.76] | 0.53 [0.48, 0.58] | 0.18 [0.03, 0.33] | 0.035 | 8 of 8 |",
        "| auroc | SAE features minus neurons | – | 0.00 | 0.20 [0.05, 0.35] | – | – | 0.021 | 7 v 8 |",
        "| f1 | SAE features | too few: 2 | 0.67 | 0.84 [0.74, 0.94] | – | – | – | 7 of 9 |",
    ]


def test_a_difference_of_the_other_sign_has_the_other_answer(run: Path) -> None:
    """Superiority, sign and verdict go together: what is less can't be called more."""
    outcome: Outcome = read_outcome(run)

    def turned(row: ComparisonRow) -> ComparisonRow:
        if (row.arm, row.baseline, row.slice) != ("feature", "neuron", "random-only"):
            return row
        return replace(row, difference=1.75, difference_low=1.25, difference_high=2.0)

    lines = answer(replace(outcome, rows=tuple(turned(row) for row in outcome.rows)))
    assert_reads(
        lines[5],
        "On random contexts alone: SAE features minus neurons 1.75 [1.25, 2.00], adjusted p = ~0.008: SAE features "
        "score higher; that is not called more interpretable, for they were not held against a subject with scrambled "
        "weights; only 4 units: the interval may be too narrow.",
    )
