"""Tiny random language models of every supported family, built in memory, and a tiny byte-level tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BloomConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    MptConfig,
    Olmo2Config,
    OlmoeConfig,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
    Qwen3MoeConfig,
    Starcoder2Config,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from autointerp.models import LoadedModel

VOCABULARY = 384
"""Ids of the tiny tokenizer (0 is the start token, 1 the end token), and rows of the tiny embeddings."""
LAYERS, WIDTH, NEURONS, HEADS, POSITIONS = 3, 16, 24, 2, 2048
START, END = 0, 1

_TEXT = (
    "The tiny tokenizer learns its merges from these sentences, and from these sentences only. "
    "A river runs to the sea; the sea gives rain; the rain fills the river. "
    "def area(width, height): return width * height. "
    "One, two, three, four, five words of the list are words that the list repeats. "
)


def _modern(kind: Callable[..., PreTrainedConfig], **more: object) -> PreTrainedConfig:
    return kind(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=NEURONS,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=POSITIONS,
        bos_token_id=START,
        eos_token_id=END,
        pad_token_id=END,
        **more,
    )


_GROUPED = {"num_key_value_heads": 1}
_GEMMA = {"num_key_value_heads": 1, "head_dim": 8}

_CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY, n_embd=WIDTH, n_inner=NEURONS, n_layer=LAYERS, n_head=HEADS, n_positions=POSITIONS,
        bos_token_id=START, eos_token_id=END,
    ),
    "gpt_neox": lambda: _modern(GPTNeoXConfig),
    "llama": lambda: _modern(LlamaConfig, **_GROUPED),
    "mistral": lambda: _modern(MistralConfig, **_GROUPED, sliding_window=None),
    "qwen2": lambda: _modern(Qwen2Config, **_GROUPED),
    "qwen3": lambda: _modern(Qwen3Config, **_GROUPED, head_dim=8),
    "gemma": lambda: _modern(GemmaConfig, **_GEMMA),
    "gemma2": lambda: _modern(Gemma2Config, **_GEMMA, sliding_window=32),
    "gemma3": lambda: _modern(Gemma3TextConfig, **_GEMMA, sliding_window=32),
    "phi": lambda: _modern(PhiConfig),
    "phi3": lambda: _modern(Phi3Config, **_GROUPED),
    "opt": lambda: OPTConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, ffn_dim=NEURONS, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, max_position_embeddings=POSITIONS, word_embed_proj_dim=WIDTH,
        bos_token_id=START, eos_token_id=END, pad_token_id=END,
    ),
}  # fmt: skip

FAMILIES = tuple(_CONFIGS)
"""Names that `tiny_model` knows, and that most tests of families go through."""

_PLAIN_ROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 10_000.0}
_EXPERTS = {"num_key_value_heads": 1, "num_experts": 4, "num_experts_per_tok": 2}
_IDS: dict[str, Any] = {"bos_token_id": START, "eos_token_id": END, "pad_token_id": END}

_FURTHER: dict[str, Callable[[], PreTrainedConfig]] = {
    "mixtral": lambda: _modern(MixtralConfig, **_GROUPED, num_local_experts=4, sliding_window=None),
    "qwen2_moe": lambda: _modern(
        Qwen2MoeConfig, **_EXPERTS, moe_intermediate_size=8, shared_expert_intermediate_size=8
    ),
    "qwen3_moe": lambda: _modern(Qwen3MoeConfig, **_EXPERTS, moe_intermediate_size=8, head_dim=8),
    "olmoe": lambda: _modern(OlmoeConfig, **_EXPERTS),
    "gpt_oss": lambda: _modern(GptOssConfig, **_GROUPED, num_local_experts=4, head_dim=8, rope_parameters=_PLAIN_ROPE),
    "gptj": lambda: GPTJConfig(
        vocab_size=VOCABULARY, n_embd=WIDTH, n_inner=NEURONS, n_layer=LAYERS, n_head=HEADS, rotary_dim=4,
        n_positions=POSITIONS, bos_token_id=START, eos_token_id=END,
    ),
    "falcon": lambda: FalconConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, ffn_hidden_size=NEURONS, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, **_IDS,
    ),
    "falcon_in_turn": lambda: FalconConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, ffn_hidden_size=NEURONS, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, parallel_attn=False, multi_query=False, alibi=True, **_IDS,
    ),
    "bloom": lambda: BloomConfig(vocab_size=VOCABULARY, hidden_size=WIDTH, n_layer=LAYERS, n_head=HEADS, **_IDS),
    "mpt": lambda: MptConfig(
        vocab_size=VOCABULARY, d_model=WIDTH, n_layers=LAYERS, n_heads=HEADS, max_seq_len=POSITIONS
    ),
    "starcoder2": lambda: _modern(Starcoder2Config, **_GROUPED, sliding_window=None),
    "olmo2": lambda: _modern(Olmo2Config, **_GROUPED),
    "gpt_neox_in_turn": lambda: _modern(GPTNeoXConfig, use_parallel_residual=False),
}  # fmt: skip

EVERY_FAMILY = (*FAMILIES, *_FURTHER)
"""Those, and the families whose hooks alone differ."""


def tiny_model(family: str = "llama", seed: int = 0) -> PreTrainedModel:
    """A random causal model in evaluation mode: 3 layers, 16 residual dimensions, 24 neurons a layer.

    Its weights are larger than a fresh model's, so that no hooked tensor is nearly constant.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config((_CONFIGS | _FURTHER)[family]())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    model.generation_config.pad_token_id = END
    ready: PreTrainedModel = model.eval().requires_grad_(False)
    return ready


@cache
def _backend() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_TEXT], trainer)
    return tokenizer.to_str()


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of at most 384 ids, `<s>` = 0 (start) and `</s>` = 1 (end, padding); it can spell any text."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_backend()), bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


def tiny_loaded(family: str = "llama") -> LoadedModel:
    """A tiny model with its tokenizer, as a study's models are opened."""
    return LoadedModel(tiny_model(family), tiny_tokenizer(), f"tiny {family}", torch.device("cpu"))


def tiny_folder(path: Path, family: str = "llama", seed: int = 0) -> Path:
    """Save a tiny model and its tokenizer in `path/tiny-FAMILY`, as `from_pretrained` wants them."""
    folder = path / f"tiny-{family}"
    tiny_model(family, seed).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
