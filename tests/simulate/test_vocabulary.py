"""Words and digits in the vocabularies of tokenizers of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from autointerp.records import Unscored
from autointerp.simulate.vocabulary import canonical_tokens, digit_tokens, following
from tests.kinds import KINDS, tokenizer_of

SPLIT = Unscored("a digit is not one token for the simulator's tokenizer")


def _names(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> list[str]:
    return [str(name) for name in tokenizer.convert_ids_to_tokens(ids)]


@pytest.mark.parametrize(
    ("kind", "word"),
    [("byte-level", "Ġthe"), ("unigram", "▁the"), ("byte-fallback", "▁the"), ("llama-2", "▁the"), ("wordpiece", "the")],
)
def test_a_word_after_a_colon_is_the_word_with_its_space(kind: str, word: str) -> None:
    tokenizer = tokenizer_of(kind)
    (ids,) = following(tokenizer, "list:", [" the"])
    assert _names(tokenizer, ids) == [word]
    named = tokenizer.get_vocab()
    canonical = canonical_tokens(tokenizer)
    assert canonical[named[word]] == named[word]


@pytest.mark.parametrize("kind", KINDS)
def test_canonical_tokens_are_what_a_prompt_would_be_followed_by(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    canonical = canonical_tokens(tokenizer)
    assert canonical.shape == (len(tokenizer),)
    prompt = "The list of the words:"
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    moved = 0
    for token in range(len(tokenizer)):
        word = str(tokenizer.decode([token])).strip()
        whole = tokenizer(f"{prompt} {word}", add_special_tokens=False, split_special_tokens=True)["input_ids"]
        if word and "\ufffd" not in word and whole[:-1] == before:
            assert canonical[token] == whole[-1]
        else:
            assert canonical[token] == token
        moved += int(canonical[token] != token)
    # A word inside a longer one stands for the word alone; WordPiece writes `##` before such a part.
    assert moved == 0 if kind == "wordpiece" else moved > 3


def test_a_text_that_joins_with_what_is_before_it_has_no_tokens_of_its_own() -> None:
    tokenizer = tokenizer_of("byte-level")
    assert following(tokenizer, "th", ["e", " the"])[0] == []
    assert _names(tokenizer, following(tokenizer, "th", ["e", " the"])[1]) == ["Ġthe"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_digit_is_one_token_after_a_tab(kind: str) -> None:
    """Llama 2's kind spells "7" alone as two tokens, and "\\t7" as the tab's and one more."""
    tokenizer = tokenizer_of(kind)
    variants = digit_tokens(tokenizer)
    assert isinstance(variants, list)
    assert len(variants) == 10
    assert len({token for ids in variants for token in ids}) == sum(len(ids) for ids in variants)
    for digit, ids in enumerate(variants):
        assert {name.strip("Ġ▁") for name in _names(tokenizer, ids)} == {str(digit)}
    if kind == "llama-2":
        assert len(tokenizer("7", add_special_tokens=False)["input_ids"]) == 2


def _digits_apart(initial: list[str], text: str) -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=initial, special_tokens=["<unk>"], show_progress=False
    )
    raw.train_from_iterator([text] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw)


def test_a_digit_with_its_space_may_be_a_token_of_its_own() -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = _digits_apart(alphabet, "".join(f" {digit}\t{digit}" for digit in range(10)))
    variants = digit_tokens(tokenizer)
    assert isinstance(variants, list)
    assert [sorted(_names(tokenizer, ids)) for ids in variants] == [[str(d), f"Ġ{d}"] for d in range(10)]


def test_a_digit_of_several_tokens_is_said() -> None:
    raw = Tokenizer(models.WordPiece({"[UNK]": 0, "\t": 1, **{str(d): d + 2 for d in range(10)}}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Split("7", "isolated")
    whole = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]")
    assert digit_tokens(whole) == SPLIT, "all but 7 are joined with the tab to one unknown word"
    doubled = _digits_apart(sorted(pre_tokenizers.ByteLevel.alphabet()), "x").backend_tokenizer
    doubled.normalizer = normalizers.Replace("7", "77")
    assert digit_tokens(PreTrainedTokenizerFast(tokenizer_object=doubled)) == SPLIT, "every 7 is two tokens"


def test_digits_that_are_all_unknown_have_no_values() -> None:
    raw = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]")
    assert digit_tokens(tokenizer) == SPLIT
    assert np.array_equal(canonical_tokens(tokenizer), [0, 1])
