"""The stage: `report.md` and the lines for the terminal, from a run's tables alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from autointerp.artifacts import write_text
from autointerp.compare.outcome import Outcome, read_outcome
from autointerp.compare.words import capital
from autointerp.plot.stage import strips_name
from autointerp.report import (
    adjusted,
    components,
    coverage,
    explained,
    in_context,
    measures,
    ratings,
    replicates,
    reproducing,
    sae_quality,
    scrambled,
    sections,
)  # fmt: skip
from autointerp.report.answer import answer, first_lines
from autointerp.report.caveats import caveats
from autointerp.report.html import as_html
from autointerp.report.judges import judges
from autointerp.report.markdown import escape, prose
from autointerp.report.provenance import builtin_text_of, cost
from autointerp.units.arms import plain


def report(run_dir: Path) -> Path:
    """Write `report.md` of a run and give its path; beside it `report.html`, the same in one file that stands alone.

    The same tables give the same text. Figures that are in `figures/` are embedded. Raises BadInput when a table is
    missing.
    """
    outcome = read_outcome(run_dir)
    path = run_dir / "report.md"
    text = "\n\n".join(part for part in _parts(outcome) if part) + "\n"
    write_text(path, text)
    write_text(path.with_suffix(".html"), as_html(text, run_dir))
    return path


def headline(run_dir: Path) -> str:
    """The answer in a few plain lines, for the terminal; last, which text it is about, if it is the built-in one."""
    outcome = read_outcome(run_dir)
    text = builtin_text_of(outcome)
    about = [f"{capital(text.line)}."] if text else []
    return "\n".join([*answer(outcome), *about])


def _parts(outcome: Outcome) -> Iterator[str]:
    first, of_one = first_lines(outcome), list(replicates.of_one(outcome))
    rest = [line for line in answer(outcome)[len(first) :] if line not in of_one]
    yield "# How interpretable are they?"
    for place, line in enumerate(first):
        yield prose(line) if place else f"**{prose(line)}**"
    yield sae_quality.section(outcome)
    yield "## Figures"
    yield _figure(outcome, "distribution", "Scores of every arm, with chance and the ceiling")
    yield _figure(outcome, "forest", "Differences between features and every other arm")
    yield _figure(outcome, "equal-determinism", "Differences at equal token determinism")
    yield _figure(outcome, "against-evidence", "Score of each unit against its density and the entropy of its peaks")
    yield _figure(outcome, "own-shuffled", "Score of each unit with its own and with another unit's explanation")
    yield _figure(outcome, "layers", "Scores by layer and width")
    yield "## Arms and controls\n\n" + "\n".join(f"- {prose(line)}" for line in rest)
    yield "### Keep in mind\n\n" + "\n".join(f"- {prose(line)}" for line in caveats(outcome))
    yield sections.scores(outcome)
    yield sections.chance(outcome)
    yield sections.differences(outcome)
    yield sections.strata(outcome)
    yield adjusted.section(outcome)
    yield components.section(outcome)
    yield scrambled.section(outcome)
    yield measures.section(outcome)
    yield _figure(outcome, "measures", "What tells trained from scrambled weights, by measure")
    yield explained.literally(outcome)
    yield explained.kinds(outcome)
    yield sections.ceiling(outcome)
    yield sections.other_metrics(outcome)
    yield judges(outcome)
    yield ratings.section(outcome)
    yield _figure(outcome, "ratings", "What raters gave the units of every arm, and explanations of other units")
    yield explained.proposals(outcome)
    yield sections.units(outcome)
    yield "\n\n".join(["## Variance", *replicates.sentences(outcome), *map(prose, of_one)])
    yield replicates.section(outcome)
    yield _figure(outcome, "replicates", "The difference in every replicate, and over all of them")
    yield _figure(outcome, "reliability", "Scores on either half of a unit's contexts, and against the token table")
    yield coverage.section(outcome)
    yield _figure(outcome, "coverage", "Units that were scored, and tokens that were asked for")
    yield in_context.section(outcome)
    for arm in outcome.arms:
        caption = f"{capital(escape(plain(arm)))}: true and predicted activations on held-out text"
        yield _figure(outcome, strips_name(arm), caption)
    yield cost(outcome)
    yield reproducing.settings(outcome)
    yield reproducing.reproduce(outcome)
    yield sections.how_to_read(outcome)


def _figure(outcome: Outcome, name: str, caption: str) -> str:
    path = outcome.run_dir / "figures" / f"{name}.png"
    return f"![{caption}](figures/{name}.png)" if path.is_file() else ""
