from autointerp.compare.strata import NOT_SINGLE_TOKEN, SINGLE_TOKEN, stratum_of
from autointerp.compare.words import number, p_text, with_interval
from autointerp.study_file import parse_study
from autointerp.units.arms import (
    baseline_of,
    contrasts,
    feature_hooks,
    frozen_arms,
    is_feature,
    ordered,
    plain,
    questions,
)


def test_features_come_first_and_unknown_arms_last() -> None:
    arms = ["zebra", "direction", "neuron", "feature:b", "feature:a", "neuron-sparse", "neuron"]
    assert ordered(arms) == ["feature:a", "feature:b", "neuron", "neuron-sparse", "direction", "zebra"]


def test_every_feature_arm_meets_every_other_arm_once() -> None:
    found = contrasts(["neuron", "direction", "feature:a", "feature:b"], "neuron", {})
    assert found[:2] == [("feature:a", "neuron"), ("feature:b", "neuron")]
    assert set(found[2:]) == {("feature:a", "feature:b"), ("feature:a", "direction"), ("feature:b", "direction")}
    assert len(found) == 5


def test_a_feature_arm_can_be_the_baseline() -> None:
    assert contrasts(["feature:a", "feature:b"], "feature:a", {}) == [("feature:b", "feature:a")]


def test_names_are_plain() -> None:
    assert plain("feature") == "SAE features"
    assert plain("feature:wide") == "SAE features (wide)"
    assert plain("something-new") == "something-new"
    assert is_feature("feature:x")
    assert not is_feature("features-of")


def test_strata_have_a_stated_edge() -> None:
    assert stratum_of(0.95) == SINGLE_TOKEN
    assert stratum_of(0.949) == NOT_SINGLE_TOKEN
    assert stratum_of(None) is stratum_of(float("nan")) is None


def test_numbers_read_the_same_everywhere() -> None:
    assert number(-0.001) == "0.00"
    assert number(-0.25) == "\u22120.25"
    assert number(None) == "?"
    assert with_interval(0.371, 0.28, 0.461) == "0.37 [0.28, 0.46]"
    assert with_interval(0.371, None, None) == "0.37"
    assert p_text(0.0001) == "p < 0.001"
    assert p_text(0.0123) == "p = 0.012"
    assert p_text(None) == ""


def test_features_are_held_against_the_controls_of_their_own_hook() -> None:
    hooks = {"feature:a": "layers.0.resid", "feature:b": "layers.1.resid"}
    arms = [*hooks, "neuron:layers.0.resid", "neuron:layers.1.resid", "direction:layers.1.resid"]
    assert contrasts(arms, "neuron", hooks) == [
        ("feature:a", "neuron:layers.0.resid"),
        ("feature:b", "neuron:layers.1.resid"),
        ("feature:a", "feature:b"),
        ("feature:b", "direction:layers.1.resid"),
    ]
    assert baseline_of("feature:b", arms, "neuron", hooks) == "neuron:layers.1.resid"
    assert baseline_of("feature:b", ["feature:b", "direction"], "neuron", hooks) is None
    assert baseline_of("feature:b", ["neuron"], "neuron", hooks) == "neuron"


def test_features_of_an_sae_with_a_frozen_part_are_a_control_and_no_question() -> None:
    hook = "layers.5.mlp.neurons"
    train = {"width": 64, "passes": 1}
    saes = [{"name": "own", "hook": hook, "train": train}, {"name": "kept", "hook": hook, "checkpoint": "x"}]
    saes += [{"name": part, "hook": hook, "train": {**train, "freeze": part}} for part in ("decoder", "encoder")]
    study = parse_study({"sae": saes})
    assert frozen_arms(study) == {"feature:decoder", "feature:encoder"}
    arms = ["feature:own", "feature:kept", "feature:decoder", "feature:encoder", "neuron"]
    assert questions(arms, study) == {"feature:own": "neuron", "feature:kept": "neuron"}
    pairs = contrasts(arms, "neuron", feature_hooks(study))
    assert ("feature:own", "feature:decoder") in pairs or ("feature:decoder", "feature:own") in pairs
    assert ("feature:decoder", "neuron") in pairs
    alone = parse_study({"sae": [{"hook": hook, "train": {**train, "freeze": "soft-decoder"}}]})
    assert questions(["feature", "neuron"], alone) == {}
