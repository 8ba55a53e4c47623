"""Tiny models with random weights, small grammars, and a slow oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    GPTJConfig,
    GPTJForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from loracast.decoding import TokenAutomaton
from loracast.decoding._choose import uniforms

VOCAB = 17
DIGITS = np.arange(3, 13)
COMMA, SEMICOLON, POINT, MINUS = 13, 14, 15, 16

# Initial spread of the weights: large, so that the tiny models have opinions.
SPREAD = 0.3


def build(kind: str, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    shape = {
        "vocab_size": VOCAB,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
        "initializer_range": SPREAD,
    }
    if kind == "qwen2":
        config = Qwen2Config(**shape, num_key_value_heads=2, intermediate_size=48)
        model = Qwen2ForCausalLM(config)
    elif kind == "llama":
        config = LlamaConfig(**shape, num_key_value_heads=1, intermediate_size=48)
        model = LlamaForCausalLM(config)
    elif kind == "gpt_neox":
        config = GPTNeoXConfig(**shape, intermediate_size=64)
        model = GPTNeoXForCausalLM(config)
    else:
        config = GPTJConfig(
            vocab_size=VOCAB,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=256,
            rotary_dim=8,
            initializer_range=SPREAD,
        )
        model = GPTJForCausalLM(config)
    return model.eval()


def automaton(edges: list[tuple[int, int, int, bool]], longest: int) -> TokenAutomaton:
    """From (state, token, next state, ends) edges."""
    n_states = 1 + max(max(q, r) for q, _, r, _ in edges)
    table = np.full((n_states, VOCAB), -1, dtype=np.int16)
    ends = np.zeros((n_states, VOCAB), dtype=bool)
    for state, token, following, end in edges:
        table[state, token] = following
        ends[state, token] = end
    return TokenAutomaton(table, ends, 0, longest)


def fixed_width() -> TokenAutomaton:
    """Two channels, two digits each: `12,34;`."""
    edges = []
    for state, following in ((0, 1), (1, 2), (3, 4), (4, 5)):
        edges += [(state, int(d), following, False) for d in DIGITS]
    edges += [(2, COMMA, 3, False), (5, SEMICOLON, 0, True)]
    return automaton(edges, 6)


def variable_width() -> TokenAutomaton:
    """One signed channel, one to three digits before a forced pair of decimals: `-12.00;`."""
    edges = [(0, MINUS, 1, False)]
    for state, following in ((0, 2), (1, 2), (2, 3), (3, 4)):
        edges += [(state, int(d), following, False) for d in DIGITS]
    edges += [(state, POINT, 5, False) for state in (2, 3, 4)]
    edges += [(5, 3, 6, False), (6, 3, 7, False), (7, SEMICOLON, 0, True)]
    return automaton(edges, 8)


def forced_opening() -> TokenAutomaton:
    """A separator before each step, not after it: `;7`."""
    edges = [(0, SEMICOLON, 1, False)]
    edges += [(1, int(d), 0, True) for d in DIGITS]
    return automaton(edges, 2)


GRAMMARS = {"fixed": fixed_width, "variable": variable_width, "opening": forced_opening}


@pytest.fixture(params=sorted(GRAMMARS))
def grammar(request: pytest.FixtureRequest) -> TokenAutomaton:
    return GRAMMARS[request.param]()


def prompts_of(lengths: list[int], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, VOCAB, n) for n in lengths]


@torch.no_grad()
def oracle(model, prompt, tables, n_steps, *, seed, key, sample, temperature=1.0):
    """One path by a full forward per token, without cache, batch or forced tokens."""
    path: list[int] = []
    state, left = tables.start, n_steps
    draws = uniforms(seed, key, sample, 1000)
    columns = list(tables.ids)
    while left > 0:
        ids = torch.tensor([[*prompt.tolist(), *path]])
        logits = model(input_ids=ids, use_cache=False).logits[0, -1].double()
        legal = {
            int(t): int(q) for t, q in zip(columns, tables.next_state[state], strict=True) if q >= 0
        }
        scores = torch.full((VOCAB,), -torch.inf, dtype=torch.double)
        for token in legal:
            scores[token] = logits[token] / temperature
        weight = torch.softmax(scores, 0)
        target, total, chosen = draws[len(path)], 0.0, None
        for token in sorted(legal):
            total += float(weight[token])
            if chosen is None and total > target:
                chosen = token
        path.append(chosen)
        left -= int(tables.ends_step[state, columns.index(chosen)])
        state = legal[chosen]
    return np.array(path)
