"""The stage that measures a run's SAEs: figures by hand on held-out contexts, which are bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.artifacts import write_text
from autointerp.contexts.reading import read_batches
from autointerp.corpus.stage import build_corpus
from autointerp.errors import BadInput
from autointerp.models import load_tokenizer
from autointerp.records import Split
from autointerp.study import Study
from autointerp.study_file import dump_study
from autointerp.subject.forward import Subject, open_subject
from autointerp.subject.splicing import Splicing
from autointerp.tables import TRAIN, read_table
from autointerp.train import quality
from autointerp.train.quality import measure_saes
from sae.checkpoint import save
from tests.sae_eval.test_evaluating import exact, nothing
from tests.small import HOOK, small_study
from tests.tiny import NEURONS


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    saes = (
        f'sae=[{{name="exact", hook="{HOOK}", checkpoint="x"}}, '
        f'{{name="nothing", hook="{HOOK}", train={{width=3, passes=7, architecture="topk", k=1}}}}]'
    )
    return small_study(tmp_path_factory.mktemp("files"), saes)


@pytest.fixture(scope="module")
def subject(study: Study) -> Subject:
    return open_subject(study.subject)


@pytest.fixture(scope="module")
def run(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    write_text(run / "study.toml", dump_study(study))
    build_corpus(study, load_tokenizer(study.subject.model), run)
    save(exact(NEURONS), run / "sae" / "exact", {"training_tokens": 3_000_000_000})
    save(nothing(NEURONS), run / "sae" / "nothing", {})
    return run


def test_the_figures_are_those_of_all_held_out_contexts_by_hand(
    study: Study, subject: Subject, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more tokens than there are, for vectors and losses alike."""
    monkeypatch.setattr(quality, "LOSSES", 10**6)
    monkeypatch.setattr(quality, "VECTORS", 10**6)
    measure_saes(study, subject, run)
    rows: Any = read_table(run / "sae.parquet").set_index("sae")
    tokens = np.concatenate([b.tokens for b in read_batches(run / "contexts.parquet", Split.HELD_OUT, 8)])
    x = subject.activations(tokens)[HOOK].flatten(0, 1).double()
    splicing = Splicing(subject, HOOK)
    ablated = {
        "zero": splicing.losses(tokens, torch.zeros_like).mean(),
        "mean": splicing.losses(tokens, lambda v: x.mean(0).float().expand_as(v)).mean(),
    }
    clean = splicing.losses(tokens).mean()
    for name, spliced in (("exact", clean), ("nothing", ablated["zero"])):
        row = rows.loc[name]
        assert (row["contexts"], row["loss_contexts"], row["vectors"]) == (len(tokens), len(tokens), tokens.size)
        assert row["ce_clean"] == pytest.approx(clean, abs=1e-5)
        assert row["ce_spliced"] == pytest.approx(spliced, abs=1e-5)
        for ablation, loss in ablated.items():
            assert row[f"ce_{ablation}"] == pytest.approx(loss, abs=1e-5)
            share, note = row[f"recovered_against_{ablation}"], row[f"recovered_against_{ablation}_note"]
            if loss > clean:
                assert share == pytest.approx((loss - spliced) / (loss - clean), abs=1e-3)
            else:
                assert np.isnan(share)
                assert note
    spread = float((x - x.mean(0)).square().sum())
    assert rows.loc["exact", "l0"] == pytest.approx(float((x != 0).sum(1).double().mean()))
    assert rows.loc["exact", "explained_variance"] == pytest.approx(1)
    assert rows.loc["exact", "dead_share"] == pytest.approx(float(((x > 0).sum(0) == 0).double().mean() / 2 + (
        (x < 0).sum(0) == 0).double().mean() / 2))  # fmt: skip
    assert rows.loc["nothing", "explained_variance"] == pytest.approx(1 - float(x.square().sum()) / spread, rel=1e-4)
    assert (rows.loc["nothing", "l0"], rows.loc["nothing", "dead_share"]) == (0, 1)


def test_what_trained_an_sae_is_counted_or_told_by_its_checkpoint(study: Study, subject: Subject, run: Path) -> None:
    measure_saes(study, subject, run)
    rows = read_table(run / "sae.parquet").set_index("sae")
    contexts = sum(len(batch.tokens) for batch in read_batches(run / TRAIN, Split.TRAIN, 8))
    assert rows.loc["nothing", "training_tokens"] == contexts * study.corpus.context
    assert (rows.loc["nothing", "passes"], rows.loc["nothing", "architecture"]) == (7, "topk")
    assert rows.loc["exact", "training_tokens"] == 3_000_000_000
    assert rows["passes"].isna()["exact"]


def test_its_contexts_are_bounded_and_those_of_the_losses_are_among_them(
    study: Study, subject: Subject, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "VECTORS", 5 * study.corpus.context)
    monkeypatch.setattr(quality, "LOSSES", 3 * study.corpus.context)
    measure_saes(study, subject, run)
    row = read_table(run / "sae.parquet").iloc[0]
    assert (row["contexts"], row["loss_contexts"], row["vectors"]) == (5, 3, 5 * study.corpus.context)
    before = (run / "sae.parquet").read_bytes()
    measure_saes(study, subject, run)
    assert (run / "sae.parquet").read_bytes() == before


def test_an_sae_that_can_t_be_loaded_is_named(study: Study, subject: Subject, run: Path, tmp_path: Path) -> None:
    for name in ("contexts.parquet", "work"):
        (tmp_path / name).symlink_to(run / name)
    with pytest.raises(BadInput, match="SAE 'exact' of this run can't be loaded"):
        measure_saes(study, subject, tmp_path)
