"""Sampled paths against a slow oracle, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from loracast.decoding import TokenAutomaton, plan_work, sample_paths

from .conftest import (
    DIGITS,
    GRAMMARS,
    VOCAB,
    build,
    fixed_width,
    forced_opening,
    oracle,
    prompts_of,
    variable_width,
)

KINDS = ["qwen2", "llama", "gpt_neox", "gptj"]


def same(found, expected) -> bool:
    """Tokens, which are whole numbers: rounding (1e-6 of a probability) changes a choice only where
    a draw falls that close to a boundary, about once in 10,000 draws, and the draws are fixed.
    """
    return all(
        np.array_equal(a, b)
        for ours, theirs in zip(found, expected, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )


def run(model, prompts, grammar, n_steps=4, n_samples=3, seed=5, **options):
    keys = options.pop("keys", [f"k{i}" for i in range(len(prompts))])
    return sample_paths(
        model, prompts, grammar, n_steps, n_samples=n_samples, seed=seed, keys=keys, **options
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["auto", "expanded"])
def test_paths_are_those_of_the_oracle(kind, method, grammar):
    model = build(kind)
    prompts = prompts_of([9, 4, 17, 9])
    found = run(model, prompts, grammar, method=method)
    expected = [
        [oracle(model, p, grammar, 4, seed=5, key=f"k{i}", sample=s) for s in range(3)]
        for i, p in enumerate(prompts)
    ]
    assert same(found.paths, expected)
    assert found.method == ("expanded" if kind == "gptj" or method == "expanded" else "prefix")


def test_temperature_is_that_of_the_oracle():
    model, grammar, prompts = build("qwen2"), variable_width(), prompts_of([7, 12])
    found = run(model, prompts, grammar, temperature=1.7)
    for i, p in enumerate(prompts):
        for s in range(3):
            expected = oracle(model, p, grammar, 4, seed=5, key=f"k{i}", sample=s, temperature=1.7)
            np.testing.assert_array_equal(found.paths[i][s], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_is_generate_with_the_same_prefixes_allowed(kind):
    model, grammar, (prompt,) = build(kind), fixed_width(), prompts_of([11])
    column = {int(t): c for c, t in enumerate(grammar.ids)}

    def allowed(_batch, ids):
        state = grammar.start
        for token in ids[len(prompt) :].tolist():
            state = grammar.next_state[state, column[token]]
        return [
            int(t) for t, q in zip(grammar.ids, grammar.next_state[state], strict=True) if q >= 0
        ]

    ids = torch.from_numpy(prompt)[None]
    theirs = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=18,
        prefix_allowed_tokens_fn=allowed,
        pad_token_id=0,
        eos_token_id=None,
    )[0, len(prompt) :].numpy()
    found = run(model, [prompt], grammar, n_steps=3, n_samples=2, greedy=True)
    assert [p.tolist() for p in found.paths[0]] == [theirs.tolist()] * 2


def test_neither_batch_nor_order_nor_group_size_changes_a_path(grammar):
    model, prompts = build("qwen2"), prompts_of([9, 4, 17, 9, 30])
    whole = run(model, prompts, grammar).paths
    assert same(run(model, prompts, grammar, max_rows=2).paths, whole)
    assert same(run(model, prompts, grammar, max_rows=7).paths, whole)
    order = [3, 0, 4, 2, 1]
    shuffled = run(model, [prompts[i] for i in order], grammar, keys=[f"k{i}" for i in order]).paths
    assert same([shuffled[order.index(i)] for i in range(5)], whole)
    more = run(model, prompts, grammar, n_samples=5).paths
    assert same([rows[:3] for rows in more], whole)
    longer = run(model, prompts, grammar, n_steps=6).paths
    assert all(
        np.array_equal(a[: len(b)], b)
        for x, y in zip(longer, whole, strict=True)
        for a, b in zip(x, y, strict=True)
    )
    assert not same(run(model, prompts, grammar, seed=6).paths, whole)


def test_each_prompt_may_have_its_own_automaton():
    model, prompts = build("qwen2"), prompts_of([9, 4, 17])
    each = [fixed_width(), variable_width(), forced_opening()]
    found = run(model, prompts, each)
    for i, (p, a) in enumerate(zip(prompts, each, strict=True)):
        np.testing.assert_array_equal(
            found.paths[i][2], oracle(model, p, a, 4, seed=5, key=f"k{i}", sample=2)
        )


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT asks it
@pytest.mark.parametrize("kind", ["qwen2", "gpt_neox"])
def test_a_model_with_an_adapter_is_decoded_with_it(kind):
    targets = ["q_proj", "v_proj"] if kind == "qwen2" else ["query_key_value"]
    plain = run(build(kind), prompts_of([6, 9]), fixed_width()).paths
    model = get_peft_model(
        build(kind), LoraConfig(r=4, target_modules=targets, init_lora_weights=False)
    ).eval()
    prompts, grammar = prompts_of([6, 9]), fixed_width()
    found = run(model, prompts, grammar)
    assert found.method == "prefix"
    assert not same(found.paths, plain)
    expected = [
        [oracle(model, p, grammar, 4, seed=5, key=f"k{i}", sample=s) for s in range(3)]
        for i, p in enumerate(prompts)
    ]
    assert same(found.paths, expected)


def test_a_grammar_without_choices_needs_no_forward():
    table = np.array([[1, -1], [-1, 0]], dtype=np.int16)
    grammar = TokenAutomaton(
        table, np.array([[0, 0], [0, 1]], bool), 0, 2, np.array([4, 9]), vocab_size=VOCAB
    )
    found = run(build("qwen2"), prompts_of([5]), grammar)
    assert [p.tolist() for p in found.paths[0]] == [[4, 9] * 4] * 3
    assert found.prefill == ()
    assert found.positions == found.cached == found.head_positions == 0


def test_a_large_vocabulary_is_narrowed_to_the_legal_tokens():
    grammar = fixed_width()
    far = TokenAutomaton(
        grammar.next_state,
        grammar.ends_step,
        grammar.start,
        6,
        token_ids=grammar.ids + 151_000,
        vocab_size=151_936,
    )
    assert far.next_state.shape == (6, 12)
    wide = np.full((6, 151_936), -1, dtype=np.int16)
    wide[:, far.ids] = far.next_state
    ends = np.zeros(wide.shape, dtype=bool)
    ends[:, far.ids] = far.ends_step
    dense = TokenAutomaton(wide, ends, 0, 6)
    np.testing.assert_array_equal(dense.ids, far.ids)
    np.testing.assert_array_equal(dense.next_state, far.next_state)


def test_the_models_own_attention_comes_back():
    model = build("qwen2")
    before = model.config._attn_implementation
    prompts = prompts_of([8])
    run(model, prompts, fixed_width())
    assert model.config._attn_implementation == before
    with pytest.raises(RuntimeError, match="stop"):
        run(model, prompts, fixed_width(), progress=_stop)
    assert model.config._attn_implementation == before


def _stop(_count: int) -> None:
    raise RuntimeError("stop")


@pytest.mark.parametrize("name", sorted(GRAMMARS))
def test_progress_sums_to_all_time_steps(name):
    counts: list[int] = []
    run(build("qwen2"), prompts_of([8, 5, 9]), GRAMMARS[name](), progress=counts.append, max_rows=4)
    assert sum(counts) == 3 * 3 * 4
    assert min(counts) > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16])
@pytest.mark.parametrize("method", ["prefix", "expanded"])
def test_autocast_gives_legal_paths(dtype, method):
    grammar = fixed_width()
    found = run(build("qwen2"), prompts_of([8, 5]), grammar, dtype=dtype, method=method)
    assert all(len(p) == 24 and set(p[0::6]) <= set(DIGITS) for r in found.paths for p in r)


def test_bfloat16_weights_are_decoded():
    model = build("llama").to(torch.bfloat16)
    prompts, grammar = prompts_of([8, 5]), variable_width()
    assert run(model, prompts, grammar, method="prefix").paths
    assert run(model, prompts, grammar, method="expanded").paths


@pytest.mark.parametrize("method", ["prefix", "expanded"])
@pytest.mark.parametrize("name", sorted(GRAMMARS))
@pytest.mark.parametrize("max_rows", [5, 100])
def test_the_plan_bounds_the_work_and_meets_it_where_widths_are_fixed(name, method, max_rows):
    grammar = GRAMMARS[name]()
    lengths = [9, 4, 17, 9]
    found = run(build("qwen2"), prompts_of(lengths), grammar, method=method, max_rows=max_rows)
    plan = plan_work(lengths, grammar, 4, n_samples=3, method=method, max_rows=max_rows)
    assert plan.prefill == found.prefill
    for what in ("positions", "cached", "head_positions"):
        bound, real = getattr(plan, what), getattr(found, what)
        assert bound >= real
        if name != "variable":
            assert bound == real, what
