"""What became of every proposal: ranked, chosen, or failed and why; and where an explainer failed too often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from autointerp.contexts.naming import kind_of
from autointerp.errors import CheckFailed
from autointerp.explain.proposing import Planned
from autointerp.records import Candidate, Unit, Unscored
from autointerp.rows import ProposalRow, state_of
from autointerp.tables import PROPOSALS, read_arrow, write_table


def check_failures(plan: Planned, proposed: Sequence[Sequence[Candidate | Unscored]]) -> None:
    """Raise CheckFailed where an explainer that asks a language model wrote nothing for any unit: lists of words alone
    would stand in for it. Its answers stay in the ledger."""
    for name, explainer in plan.explainers.items():
        found = [c for unit, of in zip(proposed, plan.proposers, strict=True) for c, n in zip(unit, of, strict=True)
                 if n == name]  # fmt: skip
        reasons = Counter(c.reason for c in found if isinstance(c, Unscored))
        if explainer.needs_model and found and reasons.total() == len(found):
            why, count = reasons.most_common(1)[0]
            raise CheckFailed(
                f"explainer '{name}' failed for every unit ({count} of {len(found)} proposals: {why}): give "
                f"explain.prompts.{name} a prompt that its model follows, name another model in explain.llm, or take "
                f"'{name}' out of [explain]"
            )


def write_proposals(
    run: Path,
    plan: Planned,
    proposed: Sequence[Sequence[Candidate | Unscored]],
    ranked: Sequence[Sequence[Candidate | Unscored]],
    scores: Sequence[Sequence[float | Unscored]],
) -> None:
    """Write `proposals.parquet`: all that were ranked, orientation by orientation, then those that failed.

    `proposed` is what became of the plan's proposals, before others stood in for failures; `ranked` what was ranked,
    with its `scores`; `run` holds the explanations that were chosen.
    """
    chosen = {
        row["unit"]: row["text"] for row in read_arrow(run / "explanations.parquet", ["unit", "text"]).to_pylist()
    }
    rows: list[ProposalRow] = []
    for unit, names, first, found, values in zip(plan.units, plan.proposers, proposed, ranked, scores, strict=True):
        own = {c.text for c in first if isinstance(c, Candidate)}
        good = [(c, s) for c, s in zip(found, values, strict=True) if isinstance(c, Candidate)]
        texts = [candidate.text for candidate, _ in good]
        best = texts.index(chosen[unit.unit]) if chosen.get(unit.unit) in texts else None
        for place, (candidate, score) in enumerate(good):
            rows.append(_row(unit, place, candidate, score, candidate.text not in own, place == best))
        failed = [(name, c) for name, c in zip(names, first, strict=True) if isinstance(c, Unscored)]
        for place, (name, lost) in enumerate(failed, len(good)):
            rows.append(_row(unit, place, Candidate("", name), lost, False, False))
    write_table("proposals", run / PROPOSALS, rows)


def _row(
    unit: Unit, place: int, candidate: Candidate, score: float | Unscored, spare: bool, chosen: bool
) -> ProposalRow:
    status, reason = state_of(score)
    return ProposalRow(
        unit=unit.unit,
        arm=unit.arm,
        place=place,
        explainer=candidate.explainer,
        kind=kind_of(candidate.text) if candidate.text else "",
        text=candidate.text,
        prompt=candidate.prompt,
        request=candidate.request,
        evidence_score=None if isinstance(score, Unscored) else score,
        spare=spare,
        chosen=chosen,
        status=status,
        reason=reason,
    )
