"""Attention to a shared prefix and own suffixes, against attention to both written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from loracast.decoding import _sample as sampling
from loracast.decoding import sample_paths
from loracast.decoding._attention import attend

from .conftest import GRAMMARS, build, prompts_of


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_attend_is_softmax_and_its_log_sum_exp(fused, masked):
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 5, 8), torch.randn(3, 2, 7, 8), torch.randn(3, 2, 7, 8)
    mask = torch.zeros(3, 1, 5, 7)
    if masked:
        mask[0, :, :, :4] = -torch.inf
        mask[1, :, 2, 1:] = -torch.inf
    out, lse = attend(query, key, value, mask if masked else None, 0.3, fused=fused)
    for b in range(3):
        for h in range(2):
            for q in range(5):
                scores = key[b, h].double() @ query[b, h, q].double() * 0.3 + mask[b, 0, q]
                weights = torch.exp(scores - scores.max())
                expected = (weights[:, None] * value[b, h]).sum(0) / weights.sum()
                # Worst seen 2e-7 in float32.
                torch.testing.assert_close(out[b, h, q].double(), expected, rtol=0, atol=2e-6)
                total = scores.max() + torch.log(weights.sum())
                torch.testing.assert_close(lse[b, h, q].double(), total, rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gpt_neox"])
@pytest.mark.parametrize("name", sorted(GRAMMARS))
def test_shared_and_copied_prefixes_give_the_same_logits(kind, name, monkeypatch):
    model, prompts, seen = build(kind), prompts_of([9, 4, 17]), {}
    plain = sampling.choose

    for method in ("prefix", "expanded"):
        logits: list[np.ndarray] = []

        def recording(found, *rest, into=logits, **options):
            into.append(found)
            return plain(found, *rest, **options)

        monkeypatch.setattr(sampling, "choose", recording)
        keys = ["a", "b", "c"]
        sample_paths(
            model, prompts, GRAMMARS[name](), 4, n_samples=3, seed=1, keys=keys, method=method
        )
        seen[method] = logits
    assert len(seen["prefix"]) == len(seen["expanded"])
    for ours, theirs in zip(seen["prefix"], seen["expanded"], strict=True):
        # Worst seen 3e-6, of logits with a spread of about 2.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-5)
