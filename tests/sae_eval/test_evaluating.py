"""`autointerp sae eval` on a run of a tiny model and on checkpoints alone: figures by hand, files, errors."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from autointerp.__main__ import main
from autointerp.artifacts import write_text
from autointerp.contexts.reading import read_batches
from autointerp.corpus.stage import build_corpus
from autointerp.metrics.loss_recovered import NOT_WORSE
from autointerp.models import load_tokenizer
from autointerp.records import Split
from autointerp.study_file import dump_study
from autointerp.subject.forward import open_subject
from autointerp.subject.splicing import Splicing
from sae.architectures.standard import StandardSae
from sae.base import SparseAutoencoder
from sae.checkpoint import save
from tests.small import HOOK, small_study
from tests.tiny import NEURONS, WIDTH

RESID = "layers.2.resid"


def exact(width: int) -> SparseAutoencoder:
    """An autoencoder that gives every vector back: a latent for each direction of each axis."""
    both = torch.cat([torch.eye(width), -torch.eye(width)])
    return StandardSae(
        W_enc=both.T.clone(), W_dec=both, b_dec=torch.zeros(width), apply_b_dec_to_input=False,
        b_enc=torch.zeros(2 * width),
    )  # fmt: skip


def nothing(width: int) -> SparseAutoencoder:
    """One whose latents are never active: its reconstruction is zero."""
    return StandardSae(
        W_enc=torch.zeros(width, 3), W_dec=torch.randn(3, width, generator=torch.Generator().manual_seed(0)),
        b_dec=torch.zeros(width), apply_b_dec_to_input=False, b_enc=-torch.ones(3),
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of the small study leaves for this: study, contexts, and three SAEs on two hooks."""
    folder = tmp_path_factory.mktemp("files")
    saes = (
        f'sae=[{{name="exact", hook="{HOOK}", checkpoint="x"}}, {{name="nothing", hook="{HOOK}", checkpoint="x"}}, '
        f'{{name="end", hook="{RESID}", checkpoint="x"}}]'
    )
    study = small_study(folder, f'subject.hooks=["{HOOK}", "{RESID}"]', saes)
    run = folder / "my-run"
    write_text(run / "study.toml", dump_study(study))
    build_corpus(study, load_tokenizer(study.subject.model), run)
    metadata = {"model_name": study.subject.model, "hook_name": HOOK, "dataset_path": "elsewhere"}
    save(exact(NEURONS), run / "sae" / "exact", metadata)
    save(nothing(NEURONS), run / "sae" / "nothing", metadata)
    save(exact(WIDTH), run / "sae" / "end", {**metadata, "hook_name": "blocks.2.hook_resid_post"})
    return run


def call(monkeypatch: pytest.MonkeyPatch, words: Sequence[str | Path]) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["autointerp", "sae", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "sae_eval.csv").open(encoding="utf8", newline="") as file:
        return {row["sae"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def rows(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    with pytest.MonkeyPatch.context() as patch:
        assert call(patch, ["eval", run]) == 0
    return rows_of(run / "sae-eval")


def test_an_exact_sae_loses_nothing_and_a_silent_one_all(rows: dict[str, dict[str, str]]) -> None:
    assert list(rows) == ["exact", "nothing", "end"]
    for name in ("exact", "end"):
        row = rows[name]
        assert float(row["ce_spliced"]) == pytest.approx(float(row["ce_clean"]), abs=1e-5)
        assert float(row["fvu"]) == pytest.approx(0, abs=1e-9)
        assert float(row["explained_variance"]) == pytest.approx(1)
        assert float(row["cosine_own_mean"]) == 0
    silent = rows["nothing"]
    assert float(silent["ce_spliced"]) == float(silent["ce_zero"])
    assert (float(silent["l0"]), float(silent["dead_share"])) == (0, 1)
    assert float(silent["fvu"]) >= 1


def test_the_figures_are_those_of_the_held_out_contexts_by_hand(run: Path, rows: dict[str, dict[str, str]]) -> None:
    study = small_study(run.parent, f'subject.hooks=["{HOOK}"]', "sae=[]", "units.features=0")
    subject = open_subject(study.subject)
    tokens = np.concatenate([b.tokens for b in read_batches(run / "contexts.parquet", Split.HELD_OUT, 8)])
    x = subject.activations(tokens)[HOOK].flatten(0, 1)
    splicing = Splicing(subject, HOOK)
    for name in ("exact", "nothing"):
        row = rows[name]
        assert int(row["contexts"]) == len(tokens)
        assert int(row["vectors"]) == tokens.size
        assert float(row["ce_clean"]) == pytest.approx(splicing.losses(tokens).mean(), abs=1e-5)
        zero, mean = (
            splicing.losses(tokens, torch.zeros_like),
            splicing.losses(tokens, lambda v: x.mean(0).expand_as(v)),
        )
        assert float(row["ce_zero"]) == pytest.approx(zero.mean(), abs=1e-5)
        assert float(row["ce_mean"]) == pytest.approx(mean.mean(), abs=1e-5)
        assert float(row["ce_clean_low"]) < float(row["ce_clean"]) < float(row["ce_clean_high"])
    assert float(rows["exact"]["l0"]) == pytest.approx(float((x != 0).sum(1).double().mean()))
    assert float(rows["nothing"]["fvu"]) == pytest.approx(
        float(x.double().square().sum() / (x - x.mean(0)).double().square().sum()), rel=1e-5
    )


def test_a_share_is_there_where_ablation_does_harm_and_a_reason_elsewhere(rows: dict[str, dict[str, str]]) -> None:
    seen = set()
    for row in rows.values():
        for ablation in ("zero", "mean"):
            cost = float(row[f"ce_{ablation}"]) - float(row["ce_clean"])
            share, note = row[f"recovered_against_{ablation}"], row[f"recovered_against_{ablation}_note"]
            if cost > 0:
                expected = (float(row[f"ce_{ablation}"]) - float(row["ce_spliced"])) / cost
                assert float(share) == pytest.approx(expected)
            else:
                assert (share, note) == ("", NOT_WORSE)
            seen.add(cost > 0)
    assert seen  # a random model may or may not be hurt; loss_recovered is tested on both


def test_files_are_the_same_again_and_the_table_is_aligned(
    run: Path, rows: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run / "sae-eval"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {f"sae_eval.{suffix}" for suffix in ("csv", "json", "svg", "png")}
    assert call(monkeypatch, ["eval", run]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    shown = capsys.readouterr().out
    table = shown.splitlines()[:4]
    assert len({line.index("latents") if "latents" in line else 0 for line in table}) == 2
    assert f"{float(rows['exact']['ce_spliced']):.3f}" in shown
    assert "held-out contexts of my-run" in shown
    assert "100.0% on " in shown
    full = json.loads(before["sae_eval.json"])
    first = full["saes"][0]
    assert sum(first["density"]["latents"]) + first["density"]["silent"] == 2 * NEURONS
    assert first["ce_zero"] == float(rows["exact"]["ce_zero"])


def test_checkpoints_alone_on_a_corpus_with_model_and_hook_of_their_own(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = ["--corpus", str(run.parent / "corpus.jsonl"), "--tokens", "320", "--context", "16", "--out"]
    where = [run / "sae" / name for name in ("exact", "end")]
    assert call(monkeypatch, ["eval", *where, *corpus, tmp_path / "o"]) == 0
    found = rows_of(tmp_path / "o")
    assert {name: row["hook"] for name, row in found.items()} == {"exact": HOOK, "end": RESID}
    for row in found.values():
        assert (row["contexts"], row["vectors"]) == ("20", "320")
        assert float(row["ce_spliced"]) == pytest.approx(float(row["ce_clean"]), abs=1e-5)
    assert found["exact"]["ce_clean"] == found["end"]["ce_clean"]  # the same contexts
    assert "saw" not in capsys.readouterr().err
    again = ["--against", str(run / "sae" / "exact"), *corpus]
    assert call(monkeypatch, ["eval", where[0], run / "sae" / "nothing", *again, tmp_path / "p"]) == 0
    held = rows_of(tmp_path / "p")
    assert float(held["exact"]["cosine_other_mean"]) == pytest.approx(1)
    rows = torch.nn.functional.normalize(nothing(NEURONS).W_dec, dim=1)
    assert float(held["nothing"]["cosine_other_mean"]) == pytest.approx(float(rows.abs().max(1).values.mean()))


def test_text_that_an_sae_was_trained_on_is_pointed_out(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(run.parent / "corpus.jsonl")
    metadata = {"model_name": str(run.parent / "tiny-llama"), "hook_name": HOOK, "dataset_path": source}
    save(exact(NEURONS), tmp_path / "mine", metadata)
    corpus = ["--corpus", source, "--tokens", "64", "--context", "16"]
    assert call(monkeypatch, ["eval", tmp_path / "mine", *corpus, "--out", tmp_path]) == 0
    assert "may be of text that it saw" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["eval", "RUN", "--hook", "layers.0.resid"], "is a run, which is evaluated on its own hook"),
        (["eval", "RUN", "--tokens", "9"], "9 tokens are less than a context of 16"),
        (["eval", "RUN", "--against", "RUN/sae/end"], "decoder rows of 'exact' have length 24, of 'RUN/sae/end' 16"),
        (["eval", "RUN/nowhere"], "no folder RUN/nowhere"),
        (["eval", "RUN/sae/exact", "--hook", "layers.1.resid"], "reads vectors of 24, hook 'layers.1.resid' gives 16"),
        (["eval", "RUN/sae/exact", "--hook", "layers.9.resid"], "hook 'layers.9.resid' is out of range"),
        (["eval", "RUN/sae/exact", "--context", "4"], "corpus.context = 4"),
        (["eval", "RUN/sae/exact", "--tokens", "10"], "10 tokens are less than a context of 64"),
        (["convert", "RUN/nowhere", "RUN/made", "--to", "saelens"], "no folder RUN/nowhere"),
        (["convert", "RUN/sae/exact", "RUN/made", "--to", "sealens"], "sealens"),
    ],
)
def test_what_cant_be_used_is_one_line_and_exit_2(
    run: Path, words: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.replace("RUN", str(run)) for word in words]
    assert call(monkeypatch, [*given, *(["--out", "nowhere"] if words[0] == "eval" else [])]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert told.replace("RUN", str(run)) in shown.err.splitlines()[-1]
    assert not Path("nowhere").exists()


def test_a_checkpoint_without_a_model_needs_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(exact(NEURONS), tmp_path / "mute", {})
    assert call(monkeypatch, ["eval", tmp_path / "mute"]) == 2
    assert "does not say which model it is for: give --model" in capsys.readouterr().err
    save(exact(NEURONS), tmp_path / "made", {"model_name": "trained", "hook_name": HOOK})
    assert call(monkeypatch, ["eval", tmp_path / "made"]) == 2
    assert "a subject that a run trained" in capsys.readouterr().err


def test_a_run_whose_sae_was_not_kept_is_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("study.toml", "contexts.parquet"):
        shutil.copy(run / name, tmp_path / name)
    assert call(monkeypatch, ["eval", tmp_path]) == 2
    assert f"no folder {tmp_path / 'sae' / 'exact'}" in capsys.readouterr().err


def test_a_converted_sae_encodes_alike(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sae.checkpoint import load

    target = tmp_path / "made"
    assert call(monkeypatch, ["convert", run / "sae" / "exact", target, "--to", "dictionary_learning"]) == 0
    assert f"standard of 48 latents on vectors of 24, for dictionary_learning: {target}" in capsys.readouterr().out
    x = torch.randn(5, NEURONS, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(load(target).encode(x), exact(NEURONS).encode(x))
