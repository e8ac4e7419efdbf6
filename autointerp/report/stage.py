"""The stage: `report.md` and the lines for the terminal, from a run's tables alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from autointerp.artifacts import write_text
from autointerp.compare.outcome import Outcome, read_outcome
from autointerp.compare.words import capital, number
from autointerp.plot.samples import samples_of
from autointerp.plot.stage import strips_name
from autointerp.records import Status
from autointerp.report import adjusted, explained, replicates, sae_quality, scrambled, sections
from autointerp.report.answer import answer
from autointerp.report.caveats import caveats
from autointerp.report.judges import judges
from autointerp.report.markdown import escape, prose, table
from autointerp.report.provenance import builtin_text_of, cost, provenance
from autointerp.tables import read_arrow
from autointerp.units.arms import plain

_NOT_EXPLAINED = "(none)"


def report(run_dir: Path) -> Path:
    """Write `report.md` of a run and give its path; the same tables give the same text.

    Figures that are in `figures/` are embedded. Raises BadInput when a table is missing.
    """
    outcome = read_outcome(run_dir)
    path = run_dir / "report.md"
    write_text(path, "\n\n".join(part for part in _parts(outcome) if part) + "\n")
    return path


def headline(run_dir: Path) -> str:
    """The answer in a few plain lines, for the terminal; last, which text it is about, if it is the built-in one."""
    outcome = read_outcome(run_dir)
    text = builtin_text_of(outcome)
    about = [f"{capital(text.line)}."] if text else []
    return "\n".join([*answer(outcome), *about])


def _parts(outcome: Outcome) -> Iterator[str]:
    first, *rest = [prose(line) for line in answer(outcome)]
    yield "# How interpretable are they?"
    yield f"**{first}**"
    yield "\n".join(f"- {line}" for line in rest)
    yield sae_quality.section(outcome)
    yield _figure(outcome, "distribution", "Scores of every arm, with chance and the ceiling")
    yield "## Keep in mind\n\n" + "\n".join(f"- {prose(line)}" for line in caveats(outcome))
    yield sections.scores(outcome)
    yield sections.chance(outcome)
    yield sections.differences(outcome)
    yield _figure(outcome, "forest", "Differences between features and every other arm")
    yield sections.strata(outcome)
    yield adjusted.section(outcome)
    yield _figure(outcome, "equal-determinism", "Differences at equal token determinism")
    yield scrambled.section(outcome)
    yield replicates.section(outcome)
    yield _figure(outcome, "replicates", "The difference in every replicate, and over all of them")
    yield explained.literally(outcome)
    yield explained.kinds(outcome)
    yield sections.ceiling(outcome)
    yield sections.other_metrics(outcome)
    yield judges(outcome)
    yield from _examples(outcome)
    yield explained.proposals(outcome)
    yield sections.units(outcome)
    yield cost(outcome)
    yield sections.how_to_read(outcome)
    yield provenance(outcome)


def _figure(outcome: Outcome, name: str, caption: str) -> str:
    path = outcome.run_dir / "figures" / f"{name}.png"
    return f"![{caption}](figures/{name}.png)" if path.is_file() else ""


def _examples(outcome: Outcome) -> Iterator[str]:
    columns = ["unit", "replicate", "text", "status"]
    texts = {
        (row["unit"], row["replicate"]): row["text"]
        for row in read_arrow(outcome.run_dir / "explanations.parquet", columns).to_pylist()
        if row["status"] == Status.OK.value
    }
    rows = [
        [
            escape(plain(arm)), sample.rank, f"`{sample.unit.replace('`', '')}`",
            escape(texts.get((sample.unit, sample.replicate), _NOT_EXPLAINED)), number(sample.value),
        ]
        for arm in outcome.arms
        for sample in samples_of(outcome, outcome.headline, arm)
    ]  # fmt: skip
    if not rows:
        return
    words = "The best, the median and the worst scored unit of every arm; the texts are the explainer's, as they are."
    yield f"## Examples\n\n{words}\n\n{table(['arm', 'rank', 'unit', 'explanation', 'score'], rows, left=4)}"
    for arm in outcome.arms:
        yield _figure(
            outcome,
            strips_name(arm),
            f"{capital(escape(plain(arm)))}: true and predicted activations on held-out text",
        )
