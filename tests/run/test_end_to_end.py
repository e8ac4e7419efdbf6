from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import autointerp
from autointerp import progress
from autointerp.errors import BadInput
from autointerp.llm.local.model import LocalModel
from autointerp.llm.request import Answer, Request
from autointerp.records import Split
from autointerp.run.folder import Run
from autointerp.run.verify import verify
from autointerp.study import Study
from autointerp.study_file import parse_study
from autointerp.tables import read_table
from tests.small import TABLES, small_settings, small_study

pytestmark = pytest.mark.pipeline


def _bytes(run: Path) -> dict[str, bytes]:
    return {name: (run / f"{name}.parquet").read_bytes() for name in TABLES}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(tmp_path_factory.mktemp("input"))


@pytest.fixture(scope="module")
def finished(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return autointerp.run(study, tmp_path_factory.mktemp("out") / "run")


def test_every_table_figure_and_the_report_are_there(finished: Run) -> None:
    assert all(len(finished.table(name)) for name in (*TABLES, "usage"))
    assert {p.suffix for p in (finished.folder / "figures").iterdir()} == {".svg", ".png"}
    first = (finished.folder / "report.md").read_text("utf8").splitlines()[:4]
    assert any("neurons" in line for line in first)
    assert "minus neurons" in finished.headline()


def test_verify_passes_and_names_what_was_tampered_with(finished: Run, tmp_path: Path) -> None:
    assert all(check.ok for check in verify(finished.folder))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in finished.folder.iterdir():
        if path.suffix in (".parquet", ".json", ".toml"):
            (copy / path.name).write_bytes(path.read_bytes())
    assert all(check.ok for check in verify(copy)), "bulk files may be left out"
    (copy / "scores.parquet").write_bytes((copy / "scores.parquet").read_bytes() + b" ")
    wrong = [check.name for check in verify(copy) if not check.ok]
    assert wrong[0] == "hash of scores.parquet"


def test_every_unit_has_as_many_candidates_and_a_neuron_is_one_row(finished: Run) -> None:
    explanations, units = finished.table("explanations"), finished.table("units")
    assert set(explanations["candidates"]) == {6}
    sampled = units[units["status"] != "excluded"]
    assert sampled.groupby("arm").size().to_dict() == {
        "feature": 5, "neuron": 4, "neuron-sparse": 4, "direction": 3, "direction-sparse": 3,
    }  # fmt: skip
    assert not sampled.duplicated(["arm", "index"]).any()
    neurons = sampled[sampled["arm"] == "neuron"]
    assert all(u.endswith("+" if s > 0 else "-") for u, s in zip(neurons["unit"], neurons["sign"], strict=True))


def test_a_second_call_runs_nothing_and_a_changed_key_only_what_follows(
    finished: Run, study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _bytes(finished.folder)
    capsys.readouterr()
    autointerp.run(study, finished.folder, until="compare")
    assert "..." not in capsys.readouterr().err
    changed = study.model_copy(update={"compare": study.compare.model_copy(update={"resamples": 1001})})
    autointerp.run(changed, finished.folder, until="compare")
    said = capsys.readouterr().err
    assert "compare ..." in said
    assert "score ..." not in said
    autointerp.run(study, finished.folder, until="compare")
    assert _bytes(finished.folder) == before


def test_another_folder_gives_the_same_bytes_another_seed_does_not(finished: Run, study: Study, tmp_path: Path) -> None:
    again = autointerp.run(study, tmp_path / "again", until="compare")
    assert _bytes(again.folder) == _bytes(finished.folder)
    other = autointerp.run(study.model_copy(update={"seed": 1}), tmp_path / "other", until="score")
    assert (other.folder / "scores.parquet").read_bytes() != (finished.folder / "scores.parquet").read_bytes()


def test_a_run_in_this_process_replays_without_its_model(
    finished: Run, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place, and into a fresh folder; the language model is never run."""
    before = _bytes(finished.folder)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the model was run")

    for method in ("generate", "next_token_logprobs", "logprobs_at", "logprobs_after"):
        monkeypatch.setattr(LocalModel, method, never)
    autointerp.run(study, finished.folder, until="compare", replay=True)
    assert _bytes(finished.folder) == before
    fresh = autointerp.run(
        study, tmp_path / "fresh", until="compare", replay=True, ledger=finished.folder / "ledger.sqlite"
    )
    assert _bytes(fresh.folder) == before
    other = study.model_copy(update={"explain": study.explain.model_copy(update={"candidates": 8})})
    with pytest.raises(BadInput, match="the ledger "):
        autointerp.run(other, finished.folder, until="compare", replay=True)
    autointerp.run(study, finished.folder, until="compare", replay=True)


BARS = ("corpus", "activations for training", "train SAE 'sae'", "survey units", "gather evidence", "gather held-out",
        "ask the explainer", "rank candidates", "simulate: lift", "score")  # fmt: skip


def test_interrupted_in_every_stage_and_continued_gives_the_same_bytes(
    finished: Run, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of one bar after the other, each time going on where the last call stopped."""
    advance: Callable[..., None] = progress._Plain.advance
    target, seen = "", 0

    def watching(self: progress._Plain, n: int = 1, *, free: bool = False) -> None:
        nonlocal seen
        seen += self._label == target
        if self._label == target and seen == 2:
            raise KeyboardInterrupt
        advance(self, n, free=free)

    monkeypatch.setattr(progress._Plain, "advance", watching)
    for target in BARS:  # noqa: B007
        seen = 0
        with pytest.raises(KeyboardInterrupt):
            autointerp.run(study, tmp_path / "run")
    target = ""
    autointerp.run(study, tmp_path / "run", until="compare")
    assert _bytes(tmp_path / "run") == _bytes(finished.folder)


def test_the_explainer_and_the_ranking_never_meet_a_held_out_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that a language model reads until the explanations are chosen, against the held-out text."""
    seen: list[str] = []
    generate, logprobs = LocalModel.generate, LocalModel.next_token_logprobs

    def watch(self: LocalModel, requests: Sequence[Request]) -> list[Answer]:
        seen.extend(content for request in requests for _, content in request.messages)
        return generate(self, requests)

    def watch_logprobs(self: LocalModel, texts: Sequence[str]) -> Iterator[torch.Tensor]:
        seen.extend(texts)
        return logprobs(self, texts)

    monkeypatch.setattr(LocalModel, "generate", watch)
    monkeypatch.setattr(LocalModel, "next_token_logprobs", watch_logprobs)
    highlighting = small_study(
        tmp_path, "explain.methods=['exemplars', 'highlight', 'phrase']", "explain.candidates=12",
        "explain.model_share=0.5", "units.controls=[]",
    )  # fmt: skip
    run = autointerp.run(highlighting, tmp_path / "run", until="explain")
    contexts = run.table("contexts")
    held_out = {"".join(p) for p in contexts.loc[contexts["split"] == str(Split.HELD_OUT), "pieces"]}
    assert seen
    assert any("«" in text for text in seen), "the highlighted contexts were watched"
    assert not any(text.strip() in prompt for prompt in seen for text in held_out)
    rows = read_table(run.folder / "evidence.parquet", ["context"])
    assert len(rows)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("subject.hooks=['layers.1.mlp.neuron']", "sae.hook 'layers.1.mlp.neurons' is not in subject.hooks"),
        ("subject.model='no/such/model'", "no file or folder 'no/such/model'"),
        ("corpus.source='nothing.jsonl'", "nothing.jsonl"),
        ("corpus.tokens=32", "leaves split 'held-out' no context of 16 tokens"),
        ("explain.method='exemplar'", "no explainer 'exemplar': did you mean 'exemplars'?"),
        ("simulate.method='lifts'", "no simulator 'lifts': did you mean 'lift'?"),
        ("simulate.method='lookup'", "simulator 'lookup' reads no explanation"),
        ("explain.candidates=5", "can't be shared equally by the two orientations"),
        ("units.features=500", "arm 'feature' has"),
        (
            "llm.explainer={provider='openai', model='m', api_key_env='AUTOINTERP_NO_SUCH_KEY'}",
            "AUTOINTERP_NO_SUCH_KEY",
        ),
        ("llm.simulator={provider='anthropic', model='m', base_url='http://127.0.0.1:1'}", "needs log-probabilities"),
        ("prompts_folder='nowhere'", "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing_half_written(override: str, line: str, tmp_path: Path) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    with pytest.raises(BadInput) as caught:
        autointerp.run(small_study(inputs, override), tmp_path / "out")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    left = [p for p in (tmp_path / "out").rglob("*") if p.is_file()] if (tmp_path / "out").exists() else []
    assert not [p for p in left if p.name.endswith(".part")]


def test_a_wrong_hook_lists_the_valid_ones_before_anything_is_written(tmp_path: Path) -> None:
    study = small_study(tmp_path, "subject.hooks=['layers.9.mlp.neurons']", "sae=[]", "units.features=0",
                        "units.controls=[]")  # fmt: skip
    with pytest.raises(BadInput, match=r"layers\.9") as caught:
        autointerp.run(study, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_without_saes_and_controls_neurons_alone_are_reported(tmp_path: Path) -> None:
    study = small_study(tmp_path, "sae=[]", "units.features=0", "units.controls=[]")
    run = autointerp.run(study, tmp_path / "out")
    assert set(run.table("scores")["arm"]) == {"neuron"}
    assert "neurons" in run.headline()


def test_digits_runs_through_the_same_pipeline(tmp_path: Path) -> None:
    study = small_study(
        tmp_path,
        "simulate.method='digits'",
        "explain.method='exemplars'",
        "explain.candidates=2",
        "units.features=2",
        "units.neurons=2",
        "units.controls=[]",
        "evidence.held_out_random=1",
        "evidence.random_only=1",
        "evidence.held_out_top=1",
        "evidence.top=2",
        "evidence.random=2",
    )
    run = autointerp.run(study, tmp_path / "out", until="compare")
    simulations = run.table("simulations")
    assert set(simulations.loc[simulations["simulator"] == "digits", "scale"]) == {"0-9"}


def test_two_saes_on_two_hooks_are_each_held_against_their_own_neurons(tmp_path: Path) -> None:
    settings = small_settings(tmp_path)
    first, second = "layers.0.mlp.neurons", "layers.1.resid"
    recipe = {"width": 32, "k": 4, "batch": 128}
    settings["subject"]["hooks"] = [first, second]
    settings["sae"] = [
        {"name": "a", "hook": first, "train": recipe},
        {"name": "b", "hook": second, "train": {**recipe, "architecture": "topk"}},
    ]
    settings["units"] |= {"controls": ["neuron-sparse"], "features": 3, "neurons": 3, "directions": 0}
    run = autointerp.run(parse_study(settings), tmp_path / "out", until="compare")
    rows = run.table("comparison")
    against = rows[rows["baseline"].str.startswith("neuron:")][["arm", "baseline"]].drop_duplicates()
    assert set(against.itertuples(index=False, name=None)) == {
        ("feature:a", f"neuron:{first}"),
        ("feature:b", f"neuron:{second}"),
    }
    lines = run.headline().splitlines()
    assert f"minus neurons ({first})" in lines[0]
    assert f"minus neurons ({second})" in lines[1]


def test_scores_in_the_units_own_scale_are_fitted_on_a_split_of_their_own(tmp_path: Path) -> None:
    metrics = '["pearson", "auroc", "average_precision", "r2", "r2_uncentred", "absolute_deviation"]'
    study = small_study(
        tmp_path, f"score.metrics={metrics}", "corpus.train=0.3", "corpus.calibration=0.12", "units.directions=0",
        "units.controls=['neuron-sparse']",
    )  # fmt: skip
    run = autointerp.run(study, tmp_path / "run", until="compare")
    scores, splits = run.table("scores"), run.table("contexts").set_index("context")["split"]
    assert all(check.ok for check in verify(run.folder))
    simulated = run.table("simulations")["context"].dropna().map(splits)
    assert set(simulated) == {str(Split.CALIBRATION), str(Split.HELD_OUT)}
    own = scores[(scores["pairing"] == "own") & (scores["status"] == "ok")]
    assert set(own["metric"]) == set(study.score.metrics)
    r2 = own[own["metric"] == "r2"]
    assert (r2["value"] <= 1).all()
    assert (own[own["metric"] == "average_precision"].set_index("unit")["chance"] > 0).all()
    shuffled = scores[(scores["pairing"] == "shuffled") & (scores["metric"] == "r2") & (scores["status"] == "ok")]
    assert len(shuffled)


def test_scores_in_the_units_own_scale_need_text_that_fits_it(tmp_path: Path) -> None:
    study = small_study(tmp_path, 'score.metrics=["pearson", "r2"]')
    with pytest.raises(BadInput, match="'r2', which needs predictions in the unit's own scale: set apart text"):
        autointerp.run(study, tmp_path / "run")
    assert not (tmp_path / "run" / "contexts.parquet").exists()


def test_a_subject_that_gives_no_numbers_stops_the_run_where_that_is_first_seen(tmp_path: Path) -> None:
    study = small_study(tmp_path, "sae=[]", "units.features=0", "units.controls=[]")
    word = AutoTokenizer.from_pretrained(study.subject.model)(" river")["input_ids"][-1]
    model = AutoModelForCausalLM.from_pretrained(study.subject.model)
    with torch.no_grad():
        model.get_input_embeddings().weight[word] = float("inf")  # type: ignore[operator]
    model.save_pretrained(study.subject.model)
    what = r"gives NaN or infinite activations in context \d+ of contexts\.parquet"
    with pytest.raises(BadInput, match=what) as told:
        autointerp.run(study, tmp_path / "run", until="collect")
    context = int(re.findall(r"context (\d+)", str(told.value))[0])
    rows = read_table(tmp_path / "run" / "contexts.parquet").set_index("context")
    assert word in list(rows["tokens"][context])
    assert rows["split"][context] == Split.EVIDENCE
