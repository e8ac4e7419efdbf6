from dataclasses import replace
from pathlib import Path

import pytest

from autointerp.compare.outcome import Outcome, read_outcome
from autointerp.records import Status
from autointerp.report.sae_quality import section
from autointerp.sae_rows import SaeRow
from autointerp.study_file import parse_study
from autointerp.tables import write_table
from tests.fake_run import Plan, finished

ROW = SaeRow(
    sae="a|b", hook="layers.5.mlp.neurons", architecture="batchtopk", d_in=1536, width=4096,
    training_tokens=3_000_000_000, passes=4, contexts=128, vectors=8192, l0=31.94, explained_variance=0.6123,
    dead_share=0.0456, loss_contexts=8, ce_clean=3.21, ce_spliced=3.54, ce_zero=5.43, ce_mean=4.32,
    recovered_against_zero=0.851, recovered_against_zero_low=0.812, recovered_against_zero_high=0.893,
    recovered_against_zero_note="only 8 contexts: the interval may be too narrow", recovered_against_mean=None,
    recovered_against_mean_low=None, recovered_against_mean_high=None,
    recovered_against_mean_note="ablation does not raise the loss", status=Status.OK, reason="",
)  # fmt: skip


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    settings = {"score": {"metrics": ["pearson"], "slices": ["top-and-random"]}}
    return read_outcome(finished(tmp_path_factory.mktemp("run"), Plan({"feature": 0.9}, units=2, settings=settings)))


def at(outcome: Outcome, folder: Path) -> Outcome:
    return replace(outcome, run_dir=folder)


def test_what_was_measured_stands_in_a_table(outcome: Outcome, tmp_path: Path) -> None:
    failed = replace(ROW, sae="c", l0=None, explained_variance=None, dead_share=None, training_tokens=None,
                     status=Status.UNSCORED, reason="no spread")  # fmt: skip
    write_table("sae", tmp_path / "sae.parquet", [ROW, failed])
    text = section(at(outcome, tmp_path))
    assert "128 held-out contexts (8,192 vectors)" in text
    assert "spliced into 8 of these contexts" in text
    assert (
        r"| `a\|b` | `layers.5.mlp.neurons` | batchtopk | 4,096 | 3,000,000,000, 4 times | 31.9 | 0.612 | "
        "0.85 [0.81, 0.89] | ablation does not raise the loss | 4.6% |\n"
    ) in text
    assert "| not recorded | – | – | 0.85 [0.81, 0.89] | ablation does not raise the loss | – |" in text
    assert "loss there is 3.21 nats per token, 3.54 with the reconstruction, 4.32 with the mean and 5.43" in text
    assert "- `c`: no spread." in text
    assert "loss recovered: only 8 contexts" in text


def test_a_folder_of_before_says_what_it_knows_and_that_nothing_was_measured(outcome: Outcome, tmp_path: Path) -> None:
    document = {"document": 0, "source": "s", "split": "train", "licence": "", "characters": 9, "tokens": 9,
                "contexts": 20, "text_hash": "h"}  # fmt: skip
    held = {**document, "split": "held-out", "contexts": 7}
    write_table("documents", tmp_path / "documents.parquet", [document, held])
    study = outcome.study
    text = section(at(outcome, tmp_path))
    assert "were not measured in this run" in text
    assert f"training tokens: {20 * study.corpus.context:,}, 4 times" in text
    assert section(replace(outcome, study=parse_study({"sae": [], "units": {"features": 0}}))) == ""


def test_what_was_measured_later_is_taken_from_there(outcome: Outcome, tmp_path: Path) -> None:
    names = [
        name for name in vars(ROW) if name not in ("training_tokens", "passes", "loss_contexts", "status", "reason")
    ]
    row = {**vars(ROW), "sae": "sae"}
    (tmp_path / "sae-eval").mkdir()
    csv = [",".join(names), ",".join("" if row[name] is None else str(row[name]) for name in names)]
    (tmp_path / "sae-eval" / "sae_eval.csv").write_text("\n".join(csv), encoding="utf8")
    text = section(at(outcome, tmp_path))
    assert "by `autointerp sae eval`, after the run" in text
    assert "spliced into 128 of these contexts" in text
    assert "| 4,096 | not recorded | 31.9 | 0.612 | 0.85 [0.81, 0.89] |" in text
