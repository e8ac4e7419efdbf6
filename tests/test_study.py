from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from autointerp.errors import BadInput
from autointerp.run.hashed import llm_of
from autointerp.study import Study
from autointerp.study_file import dump_study, load_study, parse_study
from autointerp.study_models import Llm


def test_every_default_is_written_out_and_read_back() -> None:
    study = parse_study({"llm": {"explainer": {"model": 'a "b"\n'}, "simulator": {}}, "seed": 3})
    again = parse_study(tomllib.loads(dump_study(study)))
    assert again == study
    assert "derangements = 16" in dump_study(study)


def test_configuring_one_role_keeps_the_default_of_the_other() -> None:
    study = parse_study({"llm": {"explainer": {"provider": "openai", "model": "m"}}})
    assert study.llm["explainer"].provider == "openai"
    assert study.llm["simulator"] == Study().llm["simulator"]


def test_float32_is_hashed_as_before_a_local_model_could_run_in_another_precision() -> None:
    plain, half = llm_of(Llm(dtype="float32")), llm_of(Llm())
    assert half == {**plain, "dtype": "bfloat16"}
    assert llm_of(Llm(provider="openai", dtype="bfloat16")).keys() == llm_of(Llm(provider="openai")).keys()


def test_no_sae_survives_the_round_trip() -> None:
    study = parse_study({"sae": [], "units": {"features": 0, "controls": ["direction"]}})
    assert parse_study(tomllib.loads(dump_study(study))) == study


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("corpus.token=5", "unknown key 'corpus.token' in the study: did you mean 'tokens'?"),
        ("corpsu.tokens=5", "unknown key 'corpsu' in the study: did you mean 'corpus'?"),
        ("llm.explainer.modle=x", "unknown key 'llm.explainer.modle' in the study: did you mean 'model'?"),
        ("corpus.tokens=-1", "study: corpus.tokens = -1: Input should be greater than or equal to 1"),
        ("corpus.train=0.9", "they must sum to 1"),
        ("evidence.random_only=1", "random_only = 1 is less than held_out_random = 5"),
        ("explain.llm=nobody", "explain.llm 'nobody' is not configured: valid: explainer, simulator"),
        ("sae.0.hook=layers.5.mlp.neuron", "is not in subject.hooks: did you mean 'layers.5.mlp.neurons'?"),
        ("sae.4.hook=a", "the list has 1 items"),
        ("sae.0.train.kk=3", "unknown key 'sae.0.train.kk' in the study: did you mean 'k'?"),
        ("judge.examples=3", "study: judge.examples = 3: Input should be greater than or equal to 4"),
        ("compare.derangements=0", "greater than or equal to 1"),
        ("nonsense", "write it as --set section.key=value"),
    ],
)
def test_a_wrong_key_or_value_is_one_line_with_the_remedy(override: str, line: str) -> None:
    raw = tomllib.loads(dump_study(Study()))
    with pytest.raises(BadInput) as caught:
        parse_study(raw, [override])
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_overrides_reach_lists_sections_and_text() -> None:
    raw = tomllib.loads(dump_study(Study()))
    study = parse_study(raw, ["sae.0.train.k=8", "corpus.source=my file.txt", "seed=9", "units.controls=['direction']"])
    assert study.sae[0].train is not None
    assert (study.sae[0].train.k, study.corpus.source, study.seed) == (8, "my file.txt", 9)
    assert study.units.controls == ("direction",)


def test_overrides_reach_defaults_that_the_file_leaves_out() -> None:
    hook = "layers.3.resid"
    study = parse_study({}, [f"subject.hooks=['{hook}']", f"sae.0.hook={hook}", "sae.0.train.width=16"])
    assert (study.sae[0].hook, study.subject.hooks) == (hook, (hook,))
    with pytest.raises(BadInput, match=r"^study: sae\.hook 'layers\.5\.mlp\.neurons' is not in subject\.hooks"):
        parse_study({}, [f"subject.hooks=['{hook}']"])


def test_a_study_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Study().seed = 1


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no study file"):
        load_study(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("seed = = 3")
    with pytest.raises(BadInput, match="is not readable TOML"):
        load_study(tmp_path / "bad.toml")
    (tmp_path / "marked.toml").write_text("seed = 3", "utf-8-sig")
    assert load_study(tmp_path / "marked.toml").seed == 3, "with a byte-order mark"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["score.slices=['top-and-randm']"], "no slice 'top-and-randm': did you mean 'top-and-random'?"),
        (["score.slices=['quantile-1']"], "name one of top-and-random and random-only, which the headline is of"),
        (["score.slices=['random-only', 'quantile-1']"], "has 'quantile-1', of which no held-out context is drawn"),
        (["score.slices=['random-only', 'quantile-4']", "evidence.held_out_per_quantile=2"], "has 'quantile-4'"),
        (
            ["evidence.quantiles=0", "evidence.held_out_per_quantile=2"],
            "draws from bands, and quantiles = 0 makes none",
        ),
        (["score.metrics=['weighted_pearson']"], "metrics has 'weighted_pearson' alone: add 'pearson'"),
        (["judge.negatives=hard"], "judge.negatives = 'hard' and no hard negative is gathered"),
    ],
)
def test_what_is_scored_must_be_gathered(overrides: list[str], line: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_study({}, overrides)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bands_weights_and_hard_negatives_are_set_together() -> None:
    wanted = [
        "evidence.held_out_per_quantile=2", "evidence.hard_negatives=4", "judge.negatives=mixed",
        "score.slices=['random-only', 'quantile-3']", "score.metrics=['spearman', 'weighted_spearman']",
    ]  # fmt: skip
    study = parse_study({}, wanted)
    assert (study.score.slices[1], study.judge.negatives) == ("quantile-3", "mixed")
