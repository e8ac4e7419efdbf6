"""The whole stage on a subject whose activations are known, against plain loops over all contexts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autointerp.collect.stage import collect
from autointerp.collect.token_table import read_token_tables
from autointerp.contexts.reading import load_contexts, read_batches
from autointerp.contexts.sharing import assert_evidence_only, read_exemplars, share_out
from autointerp.errors import BadInput
from autointerp.records import Split
from autointerp.study import Study
from autointerp.study_file import parse_study
from autointerp.tables import read_table
from tests.collect.doubles import HOOK, LATENTS, LENGTH, WIDTH, KnownSubject, Relu, write_contexts


def _study(**units: object) -> Study:
    return parse_study(
        {
            "corpus": {"context": LENGTH},
            "subject": {"batch": 7},
            "units": {"features": 4, "neurons": 3, "directions": 3, "min_contexts": 3, **units},
            "evidence": {"top": 4, "quantiles": 2, "per_quantile": 1, "random": 6, "random_only": 8},
        }
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_contexts(tmp_path)


def _all(run: Path, split: Split) -> tuple[np.ndarray, torch.Tensor]:
    """Every context's id and activations, in one go."""
    batch = next(iter(read_batches(run / "contexts.parquet", split, 10_000)))
    return batch.contexts, KnownSubject().activations(batch.tokens)[HOOK]


def _oriented(sae: Relu, activations: torch.Tensor, arm: str, sign: int) -> torch.Tensor:
    if arm == "feature":
        return sae.encode(activations.reshape(-1, WIDTH)).reshape(*activations.shape[:2], -1)
    return (activations * sign).clamp_min(0)


def test_every_arm_holds_what_plain_loops_find(run: Path) -> None:
    sae, subject = Relu(), KnownSubject()
    collect(_study(), subject, {"sae": (sae, LATENTS)}, run)
    assert max(subject.seen) <= 7
    units = read_table(run / "work" / "candidates.parquet")
    drawn = units[units["status"] == "ok"]
    assert {a: u["index"].nunique() for a, u in drawn.groupby("arm")} == {
        "feature": 4, "neuron": 3, "neuron-sparse": 3, "direction": 3, "direction-sparse": 3,
    }  # fmt: skip
    dead = units[units["status"] == "excluded"]
    assert dead["unit"].tolist() == [f"feature/{LATENTS - 1}"]
    assert dead["reason"].tolist() == ["dead on the evidence"]

    ids, activations = _all(run, Split.EVIDENCE)
    held_ids, held_activations = _all(run, Split.HELD_OUT)
    evidence, held_out = (read_exemplars(run / "work" / f"{n}.parquet") for n in ("evidence", "held-out"))
    tables = read_token_tables(run / "work" / "token_tables.safetensors")
    features = drawn[drawn["arm"] == "feature"]["density"].to_numpy()
    thresholds: list[float] = []
    for _, unit in drawn[~drawn["arm"].str.startswith("direction")].iterrows():
        truth, held = (
            (
                sae.encode(a.reshape(-1, WIDTH)).reshape(*a.shape[:2], -1)
                if unit["arm"] == "feature"
                else a * unit["sign"]
            )
            .clamp_min(0)[..., unit["index"]]
            .numpy()
            for a in (activations, held_activations)
        )
        truth, held = (np.where(v > unit["threshold"], v, 0) for v in (truth, held))
        assert unit["density"] == pytest.approx((truth > 0).mean())
        assert unit["max_activation"] == pytest.approx(truth.max())
        for rows, where, values in ((evidence, ids, truth), (held_out, held_ids, held)):
            for row in rows[unit["unit"]]:
                np.testing.assert_allclose(row.activations, values[list(where).index(row.context)], atol=1e-5)
        tops = [r.context for r in held_out[unit["unit"]] if r.kind == "top"]
        order = sorted(range(len(held_ids)), key=lambda c: (-held[c].max(), held_ids[c]))
        assert tops == [int(held_ids[c]) for c in order[:5] if held[c].max() > 0]
        if unit["arm"] == "neuron-sparse":
            assert np.abs(features - unit["density"]).min() < 0.02
            thresholds.append(unit["threshold"])
    assert max(thresholds) > 0
    assert set(tables) == set(drawn["arm"])


def test_sparse_twins_share_their_random_contexts_and_orientations_too(run: Path) -> None:
    collect(_study(), KnownSubject(), {"sae": (Relu(), LATENTS)}, run)
    rows = read_exemplars(run / "work" / "held-out.parquet")
    number = next(name for name in rows if name.startswith("neuron/")).split("/")[1].rstrip("+-")
    twins = [name for name in rows if name.startswith("neuron") and name.split("/")[1].rstrip("+-") == number]
    assert len(twins) == 4
    drawn = [[r.context for r in rows[name] if r.kind == "random"] for name in twins]
    assert all(d == drawn[0] for d in drawn)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_units(run: Path) -> None:
    def tables(seed: int) -> list[bytes]:
        study = _study().model_copy(update={"seed": seed})
        collect(study, KnownSubject(), {"sae": (Relu(), LATENTS)}, run)
        return [(run / "work" / f"{n}.parquet").read_bytes() for n in ("candidates", "evidence", "held-out")]

    first = tables(0)
    assert tables(0) == first
    assert tables(1) != first


def test_shown_and_ranking_contexts_are_evidence_and_disjoint(run: Path) -> None:
    collect(_study(), KnownSubject(), {"sae": (Relu(), LATENTS)}, run)
    for name, rows in read_exemplars(run / "work" / "evidence.parquet").items():
        shares = share_out(name, rows)
        shown, ranking = ({e.context for e in part} for part in (shares.shown, shares.ranking))
        assert shown
        assert ranking
        assert not shown & ranking
        assert len(ranking) == len(shares.ranking)
        contexts = load_contexts(run / "contexts.parquet", shown | ranking)
        assert_evidence_only((*shares.shown, *shares.ranking), contexts)


def test_too_many_units_is_one_line(run: Path) -> None:
    with pytest.raises(BadInput, match="arm 'feature' has 8 units active in 3 evidence contexts, needs 9"):
        collect(_study(features=9), KnownSubject(), {"sae": (Relu(), LATENTS)}, run)


def test_a_sparse_control_without_features_is_one_line(run: Path) -> None:
    with pytest.raises(BadInput, match="control 'neuron-sparse' has no features on hook"):
        collect(_study(features=0), KnownSubject(), {"sae": (Relu(), LATENTS)}, run)
