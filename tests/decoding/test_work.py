"""Counted work against torch's FLOP counter, and sampled text that always reads as numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from loracast.codec import make_codec
from loracast.decoding import TokenAutomaton, sample_paths
from loracast.flops import Architecture, get_convention
from tests.flops.torch_counter import counted_flops

from .conftest import GRAMMARS, build, prompts_of


@pytest.mark.parametrize("name", sorted(GRAMMARS))
@pytest.mark.parametrize("method", ["prefix", "expanded"])
def test_flops_from_the_counts_are_those_of_the_counter(name, method):
    model, prompts, found = build("qwen2"), prompts_of([9, 4, 17]), []

    def run() -> None:
        keys = ["a", "b", "c"]
        found.append(
            sample_paths(
                model, prompts, GRAMMARS[name](), 3, n_samples=4, seed=0, keys=keys, method=method
            )
        )

    counted = counted_flops(run)
    work, arch = found[0], Architecture.from_config(model.config)
    exact = get_convention("exact")
    cost = exact.decode(arch, work.positions, work.cached, work.head_positions).matmul
    for rows, length in work.prefill:
        cost += exact.forward(arch, rows, length, head_positions=1).matmul
    assert cost == pytest.approx(counted, rel=1e-9)


@pytest.mark.parametrize(("preset", "n_samples"), [("compact", 80), ("mao", 20)])
def test_a_hundred_thousand_sampled_values_hold_no_invalid_one(preset, n_samples):
    """80,000 of one fixed width and 20,000 of varying width."""
    n_series, n_steps = 25, 20
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=24,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
        initializer_range=0.3,
    )
    model = Qwen2ForCausalLM(config).eval()
    rng = np.random.default_rng(0)
    series = [np.exp(rng.normal(size=(12, 2)).cumsum(axis=0) / 4) for _ in range(n_series)]
    codec = make_codec(preset)
    codec = codec.scaled_for(series)
    states = [codec.fit(values) for values in series]
    # Symbols in reverse order, so that a confusion of symbols with tokens cannot go unseen.
    token_of = 23 - np.arange(len(codec.alphabet))
    grammar = TokenAutomaton.from_grammar(codec.grammar(2), token_of, 24)
    prompts = [
        token_of[codec.encode(values, state)] for values, state in zip(series, states, strict=True)
    ]
    found = sample_paths(
        model,
        prompts,
        grammar,
        n_steps,
        n_samples=n_samples,
        seed=3,
        keys=[str(i) for i in range(n_series)],
        max_rows=n_series * n_samples,
    )
    count = 0
    for state, rows in zip(states, found.paths, strict=True):
        for path in rows:
            values = codec.decode(23 - path, state)
            assert values.shape == (n_steps, 2)
            count += int(np.isfinite(values).sum())
    assert count == n_series * n_samples * n_steps * 2
