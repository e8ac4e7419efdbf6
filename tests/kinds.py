"""Small tokenizers of every kind, made in memory."""

from __future__ import annotations

from functools import cache

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.tiny import tiny_tokenizer

KINDS = ["byte-level", "unigram", "byte-fallback", "llama-2", "wordpiece"]
"""Names that `tokenizer_of` knows."""
_TRAINING = [
    "The river runs to the sea and here is some text, words and more words 中文 naïve.",
    "0 1 2 3 4 5 6 7 8 9 0123456789",
] * 4
_BYTES = ["<unk>", *(f"<0x{i:02X}>" for i in range(256))]


def _trained(raw: Tokenizer, trainer: trainers.Trainer, unknown: str) -> PreTrainedTokenizerFast:
    raw.train_from_iterator(_TRAINING, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token=unknown)


def _unigram() -> PreTrainedTokenizerFast:
    """As T5's: compatibility characters are made plain; what is unknown is one token."""
    words = sorted({word for text in _TRAINING for word in text.split()})
    letters = sorted({letter for word in words for letter in word})
    scores = {"<unk>": 0.0, **dict.fromkeys(letters, -6.0), **dict.fromkeys(words, -4.0), "▁": -5.0}
    raw = Tokenizer(models.Unigram([*scores.items(), *((f"▁{word}", -3.0) for word in words)], unk_id=0))
    raw.normalizer = normalizers.NFKC()
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")


def _byte_fallback() -> PreTrainedTokenizerFast:
    """As Mistral's: what is unknown is spelled in bytes."""
    raw = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return _trained(raw, trainers.BpeTrainer(vocab_size=350, special_tokens=_BYTES, show_progress=False), "<unk>")


def _llama_2() -> PreTrainedTokenizerFast:
    """As Llama 2's: a space of its own before every text, and digits that stand alone."""
    raw = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("▁", "merged_with_next"), pre_tokenizers.Digits(individual_digits=True)]
    )
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return _trained(raw, trainers.BpeTrainer(vocab_size=350, special_tokens=_BYTES, show_progress=False), "<unk>")


def _wordpiece() -> PreTrainedTokenizerFast:
    """As BERT's: in lower case and without accents; white space is no token, what is unknown is one."""
    raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=True)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=110, special_tokens=["[UNK]"], show_progress=False)
    return _trained(raw, trainer, "[UNK]")


_MAKERS = dict(zip(KINDS, (tiny_tokenizer, _unigram, _byte_fallback, _llama_2, _wordpiece), strict=True))


@cache
def tokenizer_of(kind: str) -> PreTrainedTokenizerFast:
    """The tokenizer of a kind, the same one for all who ask."""
    return _MAKERS[kind]()
