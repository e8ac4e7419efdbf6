"""How good the SAEs are whose features were explained: the report's section on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from autointerp.compare.outcome import Outcome
from autointerp.compare.words import listed, number, with_interval
from autointerp.records import Split, Status
from autointerp.report.markdown import UNKNOWN, code, escape, table
from autointerp.study_inputs import Sae
from autointerp.tables import read_arrow, read_table

_TABLE, _LATER = "sae.parquet", "sae-eval/sae_eval.csv"
"""What the run measured, and what `autointerp sae eval` measured afterwards."""


def section(outcome: Outcome) -> str:
    """The table of all SAEs, or that they were not measured; '' in a run without an SAE."""
    if not outcome.study.sae:
        return ""
    rows, where = _rows(outcome)
    if not rows:
        names = listed([f"{code(sae.name)} ({_recipe(outcome, sae)})" for sae in outcome.study.sae])
        return (
            f"## The SAEs\n\nL0, variance explained, loss recovered and dead latents of {names} were not measured in "
            "this run: its folder has no table `sae`, which the stage `quality` writes. Where the SAEs are kept, "
            "`autointerp sae eval` measures them."
        ) + "".join(f"\n\n- {line}" for line in _let_through(outcome))
    head = ["SAE", "hook", "architecture", "latents", "training tokens", "L0", "variance explained",
            "loss recovered", "against mean ablation", "dead"]  # fmt: skip
    return "\n\n".join(
        ["## The SAEs", _words(rows, where), table(head, map(_line, rows), left=3), *_notes(rows, outcome)]
    )


def _recipe(outcome: Outcome, sae: Sae) -> str:
    """What is known of an SAE that was not measured."""
    if sae.train is None:
        return "loaded from a checkpoint"
    tokens = _trained({"training_tokens": _tokens(outcome), "passes": sae.train.passes})
    return f"{escape(sae.train.architecture)}, {sae.train.width:,} latents, training tokens: {tokens}"


def _tokens(outcome: Outcome) -> int | None:
    """Tokens of the contexts of the training split; None where the folder does not tell."""
    path = outcome.run_dir / "documents.parquet"
    if not path.is_file():
        return None
    documents = read_table(path, ["split", "contexts"])
    contexts = documents.loc[documents["split"] == Split.TRAIN.value, "contexts"].sum()
    return int(contexts) * outcome.study.corpus.context or None


def _rows(outcome: Outcome) -> tuple[Sequence[Mapping[str, Any]], str]:
    """The rows, and the table that they are from."""
    if (path := outcome.run_dir / _TABLE).is_file():
        return read_arrow(path).to_pylist(), _TABLE
    if (path := outcome.run_dir / _LATER).is_file():
        found = pd.read_csv(path, dtype={"sae": str}).astype(object)
        passes = {sae.name: sae.train.passes for sae in outcome.study.sae if sae.train is not None}
        found["passes"] = found["sae"].map(passes)
        found["training_tokens"] = found["sae"].map(dict.fromkeys(passes, _tokens(outcome)))
        records: list[Any] = found.where(found.notna(), None).to_dict("records")
        return records, _LATER
    return [], ""


def _words(rows: Sequence[Mapping[str, Any]], where: str) -> str:
    first = rows[0]
    losses = first.get("loss_contexts", first["contexts"])
    later = " by `autointerp sae eval`, after the run" if where == _LATER else ""
    return (
        f"Measured on {first['contexts']:,} held-out contexts ({first['vectors']:,} vectors){later}. L0: active "
        "latents per vector. Variance explained: 1 less the squared error over the squared distance from the mean. "
        f"Loss recovered: what the reconstruction, spliced into {losses:,} of these contexts, keeps of what zero "
        "ablation costs, with its interval over contexts (the same against mean ablation, which costs less). Dead: "
        "latents that none of these vectors activates; with more vectors they would be fewer."
    )


def _line(row: Mapping[str, Any]) -> list[str]:
    return [
        code(row["sae"]), code(row["hook"]), escape(row["architecture"]), f"{row['width']:,}",
        _trained(row), _shown(row["l0"], ".1f"), _shown(row["explained_variance"], ".3f"),
        *(_recovered(row, f"recovered_against_{ablation}") for ablation in ("zero", "mean")),
        _shown(row["dead_share"], ".1%"),
    ]  # fmt: skip


def _trained(row: Mapping[str, Any]) -> str:
    tokens, passes = row.get("training_tokens"), row.get("passes")
    if tokens is None:
        return "not recorded"
    return f"{int(tokens):,}" + (f", {int(passes)} times" if passes and passes > 1 else "")


def _shown(value: float | None, digits: str) -> str:
    return UNKNOWN if value is None else f"{value:{digits}}"


def _recovered(row: Mapping[str, Any], name: str) -> str:
    if row[name] is None:
        return escape(row[f"{name}_note"] or UNKNOWN)
    return with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"])


def _let_through(outcome: Outcome) -> list[str]:
    """Where the study says that a checkpoint need not belong to it."""
    return [
        f"{code(sae.name)}: what its checkpoint says of its {listed([name.replace('_', ' ') for name in sae.despite])} "
        f"may contradict this study: `sae.despite` lets that through."
        for sae in outcome.study.sae
        if sae.despite
    ]


def _notes(rows: Sequence[Mapping[str, Any]], outcome: Outcome) -> list[str]:
    """The losses themselves, and what is special about them."""
    said = _let_through(outcome)
    for row in rows:
        if row.get("status", Status.OK.value) != Status.OK.value:
            said.append(f"{code(row['sae'])}: {escape(row['reason'])}.")
        if row["ce_clean"] is not None:
            spliced, zero, mean = (number(row[f"ce_{name}"]) for name in ("spliced", "zero", "mean"))
            said.append(
                f"{code(row['sae'])}: the subject's loss there is {number(row['ce_clean'])} nats per token, "
                f"{spliced} with the reconstruction, {mean} with the mean and {zero} with zeros in its place."
            )
        if (note := row["recovered_against_zero_note"]) and row["recovered_against_zero"] is not None:
            said.append(f"{code(row['sae'])}, loss recovered: {escape(note)}.")
    return ["\n".join(f"- {line}" for line in said)] if said else []
