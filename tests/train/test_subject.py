"""A subject trained from scratch: it learns, continues exactly, and opens anywhere."""

from __future__ import annotations

import json
import math
import signal
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import autointerp
from autointerp import progress
from autointerp.artifacts import hash_file
from autointerp.corpus.ahead import read_ahead
from autointerp.corpus.document import Document
from autointerp.corpus.stage import open_documents
from autointerp.errors import BadInput
from autointerp.records import Split
from autointerp.run.manifest import read_manifest
from autointerp.run.stages import carry_out
from autointerp.study_file import dump_study, load_study, parse_study
from autointerp.study_inputs import Corpus, Subject, SubjectTraining
from autointerp.subject.made import check_made, open_made
from autointerp.subject.making import (
    END_OF_TEXT,
    START,
    WARM_UP,
    Making,
    bigram_loss,
    blank_model,
    complete,
    held_out_loss,
    learn_tokenizer,
    next_token_loss,
    schedule,
    unigram_loss,
)
from autointerp.train import subject as wiring
from sae.checkpoint import load as load_sae
from tests.forked import Forked
from tests.small import small_settings, write_corpus

HOOK = "layers.0.mlp.neurons"
CONTEXT = 12
RECIPE = SubjectTraining(width=16, neurons=24, heads=2, vocabulary=300, passes=2, batch=8, lr=0.02)
TEXTS = [
    f"The {a} {b} gives {c} {d} to the river, and the river gives {c} words to the {a} sea {n}. "
    for n, (a, b, c, d) in enumerate(
        np.random.default_rng(0).choice(["small", "old", "blue", "first", "tiny", "seven"], size=(160, 4)).tolist()
    )
]


def _contexts(tokenizer: Any, texts: list[str]) -> np.ndarray:
    ids = np.array(tokenizer("".join(texts))["input_ids"])
    return ids[: len(ids) // CONTEXT * CONTEXT].reshape(-1, CONTEXT)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return learn_tokenizer(TEXTS, RECIPE.vocabulary)


@pytest.fixture(scope="module")
def contexts(tokenizer: Any) -> np.ndarray:
    return _contexts(tokenizer, TEXTS[:140])


def _making(contexts: np.ndarray, recipe: SubjectTraining = RECIPE) -> Making:
    return Making(blank_model(recipe, 300, CONTEXT, seed=1), recipe, contexts, seed=2)


def _weights(making: Making) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in making.model.parameters()]


@pytest.fixture(scope="module")
def finished(contexts: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Making:
    making = _making(contexts)
    complete(making, tmp_path_factory.mktemp("unused") / "checkpoint", "it", every=1e9)
    return making


def test_the_tokenizer_is_learned_alike_twice_and_spells_any_text(tokenizer: Any) -> None:
    again = learn_tokenizer(TEXTS, RECIPE.vocabulary)
    assert tokenizer.backend_tokenizer.to_str() == again.backend_tokenizer.to_str()
    assert len(tokenizer) == 300
    assert len(learn_tokenizer(["ab"], 4096)) < 300, "little text has few merges"
    assert [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id] == [START] * 3
    strange = f"naïve 海 \x00\n\t{TEXTS[3]}"
    assert tokenizer.decode(tokenizer(strange)["input_ids"]) == strange
    assert tokenizer(END_OF_TEXT, split_special_tokens=True)["input_ids"] != [START]


def test_it_learns_more_than_how_often_each_token_occurs(finished: Making, tokenizer: Any, contexts: Any) -> None:
    held_out = _contexts(tokenizer, TEXTS[140:])
    unigrams = unigram_loss(contexts, held_out, 300)
    assert held_out_loss(_making(contexts).model, held_out) > unigrams
    assert held_out_loss(finished.model, held_out) < 0.8 * unigrams
    assert len(finished.losses) == finished.steps == 2 * (len(contexts) // 8)


def test_the_loss_is_that_of_every_token_after_the_start_token(contexts: np.ndarray) -> None:
    model = blank_model(RECIPE, 300, CONTEXT, seed=1).eval().requires_grad_(False)
    by_hand = []
    for row in contexts[:3]:
        ids = [START, *row.tolist()]
        for end in range(1, len(ids)):
            logits = model(torch.tensor([ids[:end]])).logits[0, -1].double()
            by_hand.append(-float(logits.log_softmax(0)[ids[end]]))
    assert math.isclose(float(next_token_loss(model, contexts[:3])), np.mean(by_hand), rel_tol=1e-5)
    many = np.concatenate([contexts] * 2)[:70]
    assert len(many) == 70, "more than are read at once, and no multiple of that"
    rows = [float(next_token_loss(model, many[i : i + 1])) for i in range(70)]
    assert math.isclose(held_out_loss(model, many), np.mean(rows), rel_tol=1e-5)


def test_every_pass_takes_every_context_once_in_an_order_of_its_own(contexts: np.ndarray) -> None:
    making = _making(contexts)
    steps = len(contexts) // 8
    passes = [[int(c) for s in range(p * steps, (p + 1) * steps) for c in making._batch(s)] for p in range(2)]
    assert all(len(set(order)) == len(order) == steps * 8 for order in passes)
    assert passes[0] != passes[1]


def test_a_blank_model_is_seeded_and_leaves_the_global_state_alone() -> None:
    state = torch.random.get_rng_state()
    first, again, other = (list(blank_model(RECIPE, 300, CONTEXT, seed).parameters()) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_learning_rate_rises_then_falls_to_a_tenth() -> None:
    factors = [schedule(done, 1000) for done in range(1000)]
    top = round(WARM_UP * 1000) - 1
    assert max(factors) == factors[top] == 1
    assert factors[:top] == sorted(factors[:top])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert 0 < factors[0] < 0.1 < factors[-1] < 0.11
    assert 0 < schedule(0, 1) <= 1


_KILLED = """
import os, signal, sys, numpy as np, torch
from pathlib import Path
from tests.train.test_subject import _making
from autointerp.subject.making import complete
torch.set_num_threads(int(sys.argv[3]))
making = _making(np.load(sys.argv[1]))
def progress(loss):
    if len(making.losses) == 21:
        os.kill(os.getpid(), signal.SIGKILL)
complete(making, Path(sys.argv[2]), "it", 0.0, progress)
"""


def test_killed_and_continued_gives_the_same_bits(finished: Making, contexts: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "contexts.npy", contexts)
    threads = str(torch.get_num_threads())
    child = Forked(_KILLED, str(tmp_path / "contexts.npy"), str(tmp_path / "checkpoint"), threads)
    assert child.ends()[0] == -signal.SIGKILL
    making = _making(contexts)
    assert making.restore(tmp_path / "checkpoint", "it")
    assert len(making.losses) == 20
    complete(making, tmp_path / "checkpoint", "it", every=1e9)
    assert making.losses == finished.losses
    assert all(torch.equal(a, b) for a, b in zip(_weights(making), _weights(finished), strict=True))


def test_a_checkpoint_of_something_else_or_a_damaged_one_is_not_loaded(contexts: np.ndarray, tmp_path: Path) -> None:
    making, path = _making(contexts), tmp_path / "checkpoint"
    assert not making.restore(path, "it")
    making.step()
    making.save(path, "it")
    fresh = _making(contexts)
    before = _weights(fresh)
    assert not fresh.restore(path, "something else")
    path.write_bytes(path.read_bytes()[:-100])
    assert not fresh.restore(path, "it")
    assert not fresh.losses
    assert all(torch.equal(a, b) for a, b in zip(_weights(fresh), before, strict=True))


def test_training_that_can_not_go_on_says_why(contexts: np.ndarray) -> None:
    with pytest.raises(BadInput, match="7 contexts to train the subject on are less than one batch of 8"):
        _making(contexts[:7])
    wild = _making(contexts, RECIPE.model_copy(update={"lr": 1e30}))
    with pytest.raises(BadInput, match=r"loss is (nan|inf) at step \d+ with lr = 1e\+30: lower subject.train.lr"):
        for _ in range(20):
            wild.step()


def test_counts_predict_as_the_slow_way_does() -> None:
    rng = np.random.default_rng(0)
    train, held_out, size = rng.integers(1, 9, (30, 5)), rng.integers(1, 12, (10, 5)), 12
    train[:, 2] = 3
    ones = Counter(train.reshape(-1).tolist())
    pairs = Counter((a, b) for row in train.tolist() for a, b in zip([START, *row], row, strict=False))
    assert sum(pairs.values()) == train.size

    def unigram(token: int) -> float:
        return (ones[token] + 1) / (train.size + size)

    def bigram(before: int, token: int) -> float:
        total = sum(n for (first, _), n in pairs.items() if first == before)
        followers = sum(1 for first, _ in pairs if first == before) or 1
        return (pairs[before, token] + followers * unigram(token)) / (total + followers)

    rows = held_out.tolist()
    assert math.isclose(sum(bigram(3, token) for token in range(size)), 1)
    slow_one = -np.mean([math.log(unigram(t)) for row in rows for t in row])
    slow_two = -np.mean([math.log(bigram(a, t)) for row in rows for a, t in zip([START, *row], row, strict=False)])
    assert math.isclose(unigram_loss(train, held_out, size), slow_one, rel_tol=1e-12)
    assert math.isclose(bigram_loss(train, held_out, size), slow_two, rel_tol=1e-12)


def _saved(finished: Making, tokenizer: Any, folder: Path) -> Path:
    finished.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_saved_folder_opens_anywhere(finished: Making, tokenizer: Any, contexts: Any, tmp_path: Path) -> None:
    folder = _saved(finished, tokenizer, tmp_path / "subject")
    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.as_tensor(contexts[:4])
    torch.testing.assert_close(model(ids).logits, finished.model.eval()(ids).logits, rtol=0, atol=0)
    assert AutoTokenizer.from_pretrained(folder)(TEXTS[5])["input_ids"] == tokenizer(TEXTS[5])["input_ids"]


def test_the_hook_gives_the_neurons_after_relu(finished: Making, tokenizer: Any, contexts: Any, tmp_path: Path) -> None:
    """Against the whole of a one-layer transformer, written out."""
    folder = _saved(finished, tokenizer, tmp_path / "subject")
    subject = open_made(Subject(train=RECIPE, hooks=(HOOK,), device="cpu"), folder)
    found = subject.activations(contexts[:4])[HOOK]
    w = {name.removeprefix("transformer."): p.detach().double() for name, p in finished.model.named_parameters()}

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        normed: torch.Tensor = x * w[f"{name}.weight"] + w[f"{name}.bias"]
        return normed

    for row, neurons in zip(contexts[:4], found, strict=True):
        ids = torch.tensor([START, *row.tolist()])
        x = w["wte.weight"][ids] + w["wpe.weight"][: len(ids)]
        q, k, v = (norm(x, "h.0.ln_1") @ w["h.0.attn.c_attn.weight"] + w["h.0.attn.c_attn.bias"]).split(16, dim=1)
        mixed = []
        for head in (slice(0, 8), slice(8, 16)):
            scores = (q[:, head] @ k[:, head].T / math.sqrt(8)).masked_fill(
                torch.ones(len(ids), len(ids)).triu(1).bool(), -math.inf
            )
            mixed.append(scores.softmax(1) @ v[:, head])
        x = x + torch.cat(mixed, dim=1) @ w["h.0.attn.c_proj.weight"] + w["h.0.attn.c_proj.bias"]
        by_hand = (norm(x, "h.0.ln_2") @ w["h.0.mlp.c_fc.weight"] + w["h.0.mlp.c_fc.bias"]).clamp_min(0)
        torch.testing.assert_close(neurons.double(), by_hand[1:], rtol=1e-4, atol=1e-5)
    assert found.min() == 0
    assert 0.05 < float((found == 0).double().mean()) < 0.95


def test_sources_keep_the_split_that_the_tokenizer_was_learned_by() -> None:
    corpus = Corpus(tokens=4000, context=16, train=0.5, evidence=0.3, held_out=0.2)
    documents = [Document(f"book-{i % 40}", f"{i} {text}") for i, text in enumerate(TEXTS)]
    ahead = read_ahead(documents, corpus, seed=0)
    assert set(ahead.splits.values()) == {Split.TRAIN, Split.EVIDENCE, Split.HELD_OUT}
    of = {document.text: ahead.splits.get(document.source) for document in documents}
    assert {of[text] for text in ahead.texts} == {Split.TRAIN}
    read = sum(map(len, ahead.texts))
    assert 4 * 2000 <= read < 4 * 2000 + max(map(len, TEXTS)) + 10, "no more than the split is worth"
    shares = Counter(ahead.splits[d.source] for d in documents if d.source in ahead.splits)
    assert shares[Split.TRAIN] > shares[Split.HELD_OUT]
    assert read_ahead(documents, corpus, seed=0) == ahead
    assert read_ahead(documents, corpus, seed=1) != ahead
    with pytest.raises(BadInput, match=r"corpus\.train = 0 leaves nothing to train the subject on"):
        read_ahead(documents, Corpus(train=0, evidence=0.5, held_out=0.5), seed=0)
    with pytest.raises(BadInput, match="no text for the training split"):
        read_ahead([], corpus, seed=0)


def _settings(folder: Path, **train: object) -> dict[str, Any]:
    settings = small_settings(folder)
    settings["subject"] = {
        "hooks": [HOOK], "batch": 8, "device": "cpu",
        "train": {"width": 16, "neurons": 24, "heads": 2, "vocabulary": 300, "batch": 8, "lr": 0.02, **train},
    }  # fmt: skip
    settings["sae"] = [{"hook": HOOK, "train": {"width": 32, "k": 4, "passes": 2, "batch": 128}}]
    return settings


@pytest.mark.pipeline
def test_a_study_trains_its_subject_and_everything_follows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, out = _settings(tmp_path), tmp_path / "out"
    run = autointerp.run(parse_study(settings), out, until="collect")
    first = read_manifest(out)
    assert set(first) == {"corpus", "subject", "train", "quality", "collect"}
    figures = json.loads((out / "subject" / "training.json").read_text("utf8"))
    assert figures["held_out_loss"] < figures["held_out_loss_of_unigrams"]
    losses = np.loadtxt(out / "subject" / "losses.csv", delimiter=",", skiprows=1)
    assert losses.shape == (figures["steps"], 3)
    assert losses[-1, 1] == figures["tokens"]
    subject = open_made(parse_study(settings).subject, out / "subject")
    assert subject.tokenizer(TEXTS[0])["input_ids"] == AutoTokenizer.from_pretrained(out / "work" / "tokenizer")(
        TEXTS[0]
    )["input_ids"]  # fmt: skip
    documents = run.table("documents")
    corpus = parse_study(settings).corpus
    ahead = read_ahead(open_documents(corpus, 0), corpus, 0)
    told = documents["source"].map(ahead.splits).dropna()
    assert len(told) > 50
    assert (told == documents.loc[told.index, "split"]).all()
    capsys.readouterr()
    autointerp.run(parse_study(settings), out, until="collect")
    assert "..." not in capsys.readouterr().err

    slower = parse_study(_settings(tmp_path, lr=0.01))
    autointerp.run(slower, out, until="train")
    said = capsys.readouterr().err
    assert "corpus ..." not in said
    assert all(f"{stage} ..." in said for stage in ("subject", "train"))
    assert hash_file(out / "subject") != first["subject"].outputs["subject"]

    monkeypatch.setattr(wiring, "_SAVE_EVERY", 0.0)
    advance, seen = progress._Plain.advance, 0

    def interrupting(self: progress._Plain, n: int = 1) -> None:
        nonlocal seen
        seen += self._label == "train the subject"
        if seen == 9:
            seen += 1
            raise KeyboardInterrupt
        advance(self, n)

    monkeypatch.setattr(progress._Plain, "advance", interrupting)
    with pytest.raises(KeyboardInterrupt):
        autointerp.run(parse_study(settings), out, until="train")
    assert (out / "work" / "subject.safetensors").is_file()
    autointerp.run(parse_study(settings), out, until="train")
    assert "going on after step 8 of" in capsys.readouterr().err
    assert not (out / "work" / "subject.safetensors").exists()
    last = read_manifest(out)
    assert {name: entry.outputs for name, entry in last.items()} == {n: entry.outputs for n, entry in first.items()}


@pytest.mark.pipeline
def test_a_subject_with_other_weights_of_the_same_recipe_is_noticed(tmp_path: Path) -> None:
    from autointerp.llm.open import Mode
    from autointerp.run.plan import input_hash
    from autointerp.run.resources import Resources
    from autointerp.run.stages import stages

    resources = Resources(parse_study(_settings(tmp_path)), tmp_path / "out", Mode())
    plan = {stage.name: stage for stage in stages(resources.study, resources, resources.run)}
    hashes = {path: "same" for stage in plan.values() for path in stage.reads}
    for name in ("train", "collect"):
        other = input_hash(plan[name], {**hashes, "subject": "other"})
        assert input_hash(plan[name], hashes) != other


def test_a_wrong_hook_or_device_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    from autointerp.llm.open import Mode
    from autointerp.run.resources import Resources

    assert check_made(Subject(train=RECIPE, hooks=(HOOK,), device="cpu"), RECIPE).type == "cpu"
    settings = _settings(tmp_path)
    settings["subject"]["hooks"] = ["layers.1.mlp.neurons"]
    settings["sae"] = []
    resources = Resources(parse_study(settings), tmp_path / "out", Mode())
    with pytest.raises(BadInput, match=r"layers\.1\.mlp\.neurons.*the layers of this model are 0 to 0"):
        carry_out(resources, tmp_path / "out", "collect")
    assert not (tmp_path / "out").exists()
    with pytest.raises(BadInput, match="device 'abacus'"):
        check_made(Subject(train=RECIPE, hooks=(HOOK,), device="abacus"), RECIPE)


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        ({"train": {"heads": 3}}, "3 heads can't share width = 128: choose a multiple of 3"),
        ({"train": {}, "model": "builtin"}, "a subject with train = {...} is named 'trained', no other is"),
        ({"model": "trained"}, "a subject with train = {...} is named 'trained', no other is"),
        ({"train": {"widht": 3}}, "unknown key 'subject.train.widht' in the study: did you mean 'width'?"),
        ({"train": {"vocabulary": 256}}, "greater than or equal to 257"),
    ],
)
def test_a_recipe_that_can_not_be_is_refused(subject: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_study({"subject": {"hooks": ["layers.5.mlp.neurons"], **subject}})
    assert told in str(caught.value)


def test_the_recipe_is_written_out_and_read_back() -> None:
    made = parse_study({"subject": {"train": {"width": 64}}})
    assert made.subject.model == "trained"
    assert parse_study(tomllib.loads(dump_study(made))) == made


EXAMPLE = Path(__file__).parents[2] / "examples" / "towards-monosemanticity.toml"


@pytest.mark.pipeline
def test_the_example_study_trains_its_subject_and_three_saes(tmp_path: Path) -> None:
    """As it stands but for the sizes."""
    corpus = write_corpus(tmp_path / "corpus.jsonl")
    sizes = [f"sae.{place}.train.{size}" for place in range(3) for size in (f"width={16 << place}", "batch=64")]
    made = load_study(
        EXAMPLE,
        [
            f"corpus.source='{corpus}'", "corpus.source_field='source'", "corpus.tokens=6000", "corpus.context=16",
            "corpus.near_duplicate=0.9", "subject.train.width=16", "subject.train.neurons=24",
            "subject.train.vocabulary=300", *sizes,
        ],
    )  # fmt: skip
    autointerp.run(made, tmp_path / "out", until="train")
    widths = [load_sae(str(tmp_path / "out" / "sae" / name)).width for name in ("1x", "4x", "8x")]
    assert widths == [16, 32, 64]


def test_the_two_examples_differ_in_size_alone() -> None:
    """The widths are multiples of the neurons, and what is trained is the paper's architecture."""
    for path in (EXAMPLE, EXAMPLE.with_stem("towards-monosemanticity-gpu")):
        made = load_study(path)
        recipe = made.subject.train
        assert recipe is not None
        assert (recipe.layers, recipe.width, recipe.neurons) == (1, 128, 512)
        assert made.subject.hooks == (HOOK,)
        for sae in made.sae:
            assert sae.train is not None
            assert f"{sae.train.width // 512}x" == sae.name
            assert sae.train.architecture == "standard"
        assert len({(sae.train.batch, sae.train.passes) for sae in made.sae if sae.train}) == 1, "one stream"
