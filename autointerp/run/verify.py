"""`autointerp verify RUN`: hashes, disjoint splits, coverage, and what the explainer was shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc

from autointerp.artifacts import hash_file
from autointerp.contexts.sharing import read_exemplars, share_out
from autointerp.contexts.slices import JUDGED, TOP_AND_RANDOM
from autointerp.corpus.split import assert_contexts_follow, assert_disjoint
from autointerp.errors import BadInput, CheckFailed
from autointerp.records import Exemplar, Kind, Split
from autointerp.run.manifest import IMPORT, REPLICATES, read_manifest
from autointerp.tables import EVIDENCE, SCHEMAS, read_arrow, read_table


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


def verify(run: Path) -> list[Check]:
    """Every check of a run folder; BadInput when it is none. Files that are not what was written are not read."""
    if not (run / "manifest.json").is_file():
        raise BadInput(f"{run} is not a run folder (no manifest.json)", "give the folder that `autointerp run` wrote")
    hashes = list(_hashes(run))
    if not all(check.ok for check in hashes):
        return hashes
    return [
        *hashes,
        *_replicates(run),
        *_schemas(run),
        *_finite(run),
        *_splits(run),
        *_shown(run),
        *_explained(run),
        *_coverage(run),
    ]


def _hashes(run: Path) -> Iterator[Check]:
    left_out = []
    for stage, entry in read_manifest(run).items():
        for name, expected in entry.outputs.items():
            path = run / name
            if not path.exists():
                if name in entry.bulk:
                    left_out.append(name)
                else:
                    yield Check(f"hash of {name}", False, f"missing, stage '{stage}' wrote it")
                continue
            found = hash_file(path)
            ok = found == expected
            detail = found[:12] if ok else f"is {found[:12]}, stage '{stage}' wrote {expected[:12]}"
            yield Check(f"hash of {name}", ok, detail)
    if left_out:
        yield Check("bulk files", True, f"not kept in this folder: {', '.join(left_out)}")


_LATER = {
    ("explanations", "kind"), ("scores", "kind"), ("judgements", "token"),
    ("judgements", "answer"), ("simulations", "answer"),
    ("units", "subject"), ("scores", "subject"), ("comparison", "subject"), *(
        ("comparison", name) for name in (
            "family", "p_equivalent", "p_equivalent_holm", "smallest", "superiority_low", "superiority_high",
            "median_difference", "median_difference_low", "median_difference_high",
        )
    ),
}  # fmt: skip
"""Columns that a run folder of an earlier version has not."""


def _replicates(run: Path) -> Iterator[Check]:
    """Every check of every replicate, which is a run folder of its own: what is wrong, or how much was looked at."""
    entry = read_manifest(run).get(REPLICATES)
    folders = {str(Path(name).parent): None for name in (entry.outputs if entry else ()) if "/" in name}
    for folder in folders:
        if not (run / folder / "manifest.json").exists():
            yield Check(f"{folder} is a run of its own", True, "not kept whole here: the hashes above are all")
            continue
        checks = verify(run / folder)
        wrong = [check for check in checks if not check.ok]
        yield from (Check(f"{folder}: {check.name}", False, check.detail) for check in wrong)
        if not wrong:
            yield Check(f"{folder} is a run of its own", True, f"{len(checks)} checks")


def _schemas(run: Path) -> Iterator[Check]:
    for name, schema in SCHEMAS.items():
        path = run / f"{name}.parquet"
        if path.is_file():
            found = read_arrow(path).schema
            wanted = [field for field in schema if field.name in found.names or (name, field.name) not in _LATER]
            ok = [(field.name, field.type) for field in found] == [(field.name, field.type) for field in wanted]
            yield Check(f"columns of {path.name}", ok, "as documented" if ok else f"found {', '.join(found.names)}")


def _finite(run: Path) -> Iterator[Check]:
    """What the subject did and what was predicted: a NaN would go through every mean."""
    for name, column in (("evidence", "activations"), ("simulations", "predicted")):
        path = run / f"{name}.parquet"
        if path.is_file():
            values = pc.list_flatten(read_arrow(path, [column])[column])
            wrong = len(values) - (pc.sum(pc.is_finite(values)).as_py() or 0)
            detail = f"{len(values):,} values" if not wrong else f"{wrong:,} are NaN, infinite or missing"
            yield Check(f"{column} of {path.name} are numbers", not wrong, detail)


def _splits(run: Path) -> Iterator[Check]:
    documents = read_table(run / "documents.parquet")
    counts = ", ".join(f"{split} {n:,}" for split, n in documents.groupby("split", sort=False).size().items())
    yield _asserted(
        "splits share no document, source or text", f"documents: {counts}", lambda: assert_disjoint(documents)
    )
    contexts = read_table(run / "contexts.parquet", ["context", "split", "document", "source"])
    yield _asserted(
        "every context has the split and source of its document",
        f"{len(contexts):,} contexts",
        lambda: assert_contexts_follow(documents, contexts),
    )


def _asserted(name: str, detail: str, check: Callable[[], None]) -> Check:
    try:
        check()
    except CheckFailed as error:
        return Check(name, False, str(error))
    return Check(name, True, detail)


def _shown(run: Path) -> Iterator[Check]:
    splits = read_table(run / "contexts.parquet", ["context", "split"]).set_index("context")["split"]
    evidence = read_table(run / "evidence.parquet", ["unit", "context", "kind"])
    where = evidence["context"].map(splits)
    yield Check("every evidence row names a context", not where.isna().any(), f"{len(evidence):,} rows")
    allowed = {str(Split.EVIDENCE), str(Split.CALIBRATION), str(Split.HELD_OUT)}
    stray = set(where.dropna()) - allowed
    yield Check("no training context is shown or scored", not stray, ", ".join(sorted(stray)) or "none")
    simulated = read_table(run / "simulations.parquet", ["unit", "context"])
    simulated_in = simulated["context"].map(splits)
    leaked = simulated[~simulated_in.isin([str(Split.HELD_OUT), str(Split.CALIBRATION)])]
    fitting = int((simulated_in == str(Split.CALIBRATION)).sum())
    detail = f"{len(simulated) - fitting:,} simulated contexts" + (f", {fitting:,} that fit scales" if fitting else "")
    if not leaked.empty:
        detail = f"{leaked.iloc[0]['unit']} is scored elsewhere"
    yield Check("scores come from held-out contexts alone", leaked.empty, detail)
    if (run / "judgements.parquet").is_file():
        yield _judged(run, splits)


def _explained(run: Path) -> Iterator[Check]:
    """What explain was given, to show and to rank on: the rows that were gathered before the held-out ones."""
    contexts = read_table(run / "contexts.parquet", ["context", "split"])
    split_of: dict[int, str] = dict(zip(contexts["context"], contexts["split"], strict=True))
    sizes = Counter[str]() if IMPORT in read_manifest(run) else Counter(split_of.values())
    told = read_table(run / "explanations.parquet", ["unit", "evidence_score"]).dropna(subset="evidence_score")
    gathered = read_exemplars(run / "evidence.parquet")
    used = {unit: gathered.get(unit, []) for unit in dict.fromkeys([*gathered, *told["unit"]])}
    ranked = set(told["unit"])
    wrong = [why for unit, rows in used.items() if (why := _misplaced(unit, rows, split_of, sizes, unit in ranked))]
    name = "explanations are shown and ranked on evidence contexts alone"
    yield Check(name, not wrong, wrong[0] if wrong else f"{len(used):,} units, {len(ranked):,} of them ranked")
    if (run / EVIDENCE).is_file():
        yield _read_by_explain(run, split_of, gathered)


def _misplaced(
    unit: str, rows: Sequence[Exemplar], split_of: Mapping[int, str], sizes: Mapping[str, int], ranked: bool
) -> str:
    """What is wrong with a unit's rows; '' when nothing is.

    Its evidence comes first, and of every split the rows come in the order of their kinds, so that a context can't
    stand among those of another split; and its random contexts stand for all contexts of their split together, where
    `sizes` has those.
    """
    where = [str(split_of.get(row.context)) for row in rows]
    first = next((place for place, split in enumerate(where) if split != Split.EVIDENCE), len(rows))
    if str(Split.EVIDENCE) in where[first:]:
        return f"{unit}: context {rows[first].context} of split '{where[first]}' is among its evidence"
    if ranked and not share_out(unit, rows[:first]).ranking:
        return f"{unit} is ranked, and no evidence context is there to rank it"
    for split in dict.fromkeys(where):
        of_split = [row for row, its in zip(rows, where, strict=True) if its == split]
        places = [_order(row.kind) for row in of_split]
        if places != sorted(places):
            return f"{unit}: its contexts of split '{split}' are not in the order in which they are gathered"
        if not sizes:
            continue
        stand_for, size = sum(row.weight for row in of_split if row.kind == Kind.RANDOM), sizes[split]
        if not isclose(stand_for, size, rel_tol=1e-6):
            return f"{unit}: its random contexts stand for {stand_for:,.0f} of split '{split}', which has {size:,}"
    return ""


def _order(kind: str) -> int:
    """Where contexts of a kind stand among those of a split."""
    order = (Kind.TOP, Kind.QUANTILE, Kind.RANDOM, Kind.HARD_NEGATIVE)
    return next((place for place, known in enumerate(order) if kind.startswith(known)), len(order))


def _read_by_explain(run: Path, split_of: Mapping[int, str], gathered: Mapping[str, Sequence[Exemplar]]) -> Check:
    """The table that explain opened, where it was kept: it holds no other split, and is what the run's table says."""
    found = read_exemplars(run / EVIDENCE)
    wrong = [
        f"{unit}: context {row.context} is of split '{split_of.get(row.context)}'"
        for unit, rows in found.items()
        for row in rows
        if split_of.get(row.context) != Split.EVIDENCE
    ]
    for unit, rows in gathered.items():
        told = [(row.context, row.kind) for row in rows if split_of.get(row.context) == Split.EVIDENCE]
        if told != [(row.context, row.kind) for row in found.get(unit, [])]:
            wrong.append(f"{unit}: evidence.parquet tells other evidence than {EVIDENCE}")
    return Check(f"{EVIDENCE} holds evidence contexts alone", not wrong, wrong[0] if wrong else f"{len(found):,} units")


def _judged(run: Path, splits: pd.Series) -> Check:
    judged = read_table(run / "judgements.parquet", ["unit", "context"]).dropna(subset="context")
    leaked = judged[judged["context"].map(splits) != str(Split.HELD_OUT)]
    detail = f"{len(judged):,} judged contexts" if leaked.empty else f"{leaked.iloc[0]['unit']} is judged elsewhere"
    return Check("judges see held-out contexts alone", leaked.empty, detail)


def _coverage(run: Path) -> Iterator[Check]:
    units = read_table(run / "units.parquet", ["unit", "arm", "status"])
    scores = read_table(run / "scores.parquet")
    sampled = units[units["status"] != "excluded"]
    keys = ["pairing", "scorer", "metric", "slice"]
    for combination, rows in scores.groupby(keys, sort=False):
        missing = set(sampled["unit"]) - set(rows["unit"])
        if missing:
            name = " ".join(str(c) for c in combination)
            yield Check(f"a row per unit: {name}", False, f"{sorted(missing)[0]} has neither score nor reason")
    silent = scores[(scores["status"] != "ok") & (scores["reason"] == "")]
    yield Check("every unscored row has a reason", silent.empty, "yes" if silent.empty else str(silent.iloc[0]["unit"]))
    empty = scores[(scores["status"] == "ok") & scores["value"].isna()]
    yield Check("every scored row has a value", empty.empty, "yes" if empty.empty else str(empty.iloc[0]["unit"]))
    main = (scores["slice"] == TOP_AND_RANDOM) & (scores["metric"] == "pearson")
    judged = (scores["slice"] == JUDGED) & (scores["metric"] == "auroc")
    own = scores[(scores["pairing"] == "own") & (main | judged)]
    simulators = set(own.loc[own["slice"] != JUDGED, "scorer"])
    for (arm, scorer, where), rows in own.groupby(["arm", "scorer", "slice"], sort=False):
        scored = int((rows["status"] == "ok").sum())
        by = f"judge {scorer}" if where == JUDGED and scorer in simulators else scorer  # `embedding` is both
        yield Check(f"coverage of {arm} by {by}", True, f"{scored} of {len(rows)} scored{_reasons(rows)}")


def _reasons(rows: pd.DataFrame) -> str:
    counts = rows.loc[rows["status"] != "ok", "reason"].value_counts()
    return "".join(f"; {count} x {reason}" for reason, count in counts.items())
