"""Pruning must not change what the kept tokens score."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from loracast.backbone._vocabulary import prune_vocabulary
from loracast.errors import ModelError

_SHAPE = {
    "vocab_size": 120,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def _models() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    return {
        "qwen2 tied": Qwen2ForCausalLM(
            Qwen2Config(**_SHAPE, num_key_value_heads=2, tie_word_embeddings=True)
        ),
        "llama untied": LlamaForCausalLM(LlamaConfig(**_SHAPE, tie_word_embeddings=False)),
        "gemma scaled": GemmaForCausalLM(
            GemmaConfig(**_SHAPE, num_key_value_heads=1, head_dim=8, pad_token_id=0)
        ),
        "gpt-neox": GPTNeoXForCausalLM(GPTNeoXConfig(**_SHAPE)),
    }


@pytest.mark.parametrize("name", list(_models()))
def test_pruned_logits_equal_the_full_ones_at_kept_ids(name: str) -> None:
    model = _models()[name].eval()
    kept = [3, 17, 18, 19, 55, 101, 119]
    full_ids = np.array([[17, 3, 119, 55, 18, 18, 101]])
    with torch.no_grad():
        full = model(input_ids=torch.tensor(full_ids)).logits[..., kept]
        vocabulary = prune_vocabulary(model, [101, *kept])
        rows = vocabulary.to_model(full_ids[0])[None]
        pruned = model(input_ids=torch.tensor(rows)).logits
    assert pruned.shape[-1] == len(kept)
    # measured: equal to the bit for three, 6e-8 for one; the matrix shape changes the kernel
    torch.testing.assert_close(pruned, full, atol=1e-6, rtol=1e-6)
    assert [vocabulary.kept[row] for row in rows[0]] == full_ids[0].tolist()
    assert model.config.vocab_size == len(kept)
    assert model.get_output_embeddings().out_features == len(kept)


def test_a_tied_head_stays_tied() -> None:
    model = _models()["qwen2 tied"]
    prune_vocabulary(model, range(10))
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert sum(p.numel() for n, p in model.named_parameters() if "embed" in n) == 10 * 32


def test_unkept_ids_are_refused_both_when_pruning_and_when_mapping() -> None:
    model = _models()["qwen2 tied"]
    with pytest.raises(ModelError, match=r"expected ids of 0\.\.119"):
        prune_vocabulary(model, [5, 120])
    vocabulary = prune_vocabulary(model, [5, 7])
    with pytest.raises(ModelError, match=r"\[6\]"):
        vocabulary.to_model([5, 6])
