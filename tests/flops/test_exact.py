"""`exact` against torch's own counter, and against identities that any count must satisfy."""

from __future__ import annotations

import dataclasses
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loracast.errors import ConfigError
from loracast.flops import Architecture, CostTable, LoraSpec, get_convention

from .torch_counter import FAMILIES, agreement_table, worst_error

TINY = Architecture(
    layers=3, hidden=32, heads=4, kv_heads=2, head_dim=8, mlp=80, vocab=40, tied=True
)


@pytest.fixture(autouse=True)
def _quiet_libraries() -> object:
    """transformers warns about its own next major version while it builds a model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


@pytest.mark.parametrize("family", FAMILIES)
def test_agrees_with_torch_on_small_models(family: str) -> None:
    pytest.importorskip("torch")
    works = ("prefill", "decode", "full training", "LoRA q", "LoRA all")  # with their updates
    rows = agreement_table((family,), full_shape=False, works=works)
    assert {r.attention for r in rows} == {"sdpa", "eager"}
    assert len(rows) >= 20
    assert worst_error(rows) < 1e-12  # measured 0 in all cases


def test_agrees_with_torch_on_the_full_qwen_shape() -> None:
    """One forward pass and one LoRA step, full and pruned head, under fake tensors: seconds."""
    pytest.importorskip("torch")
    works = ("forward", "LoRA q_proj,v", "LoRA all, muon")
    rows = agreement_table((), attentions=("sdpa",), works=works)
    assert len(rows) == 6
    assert worst_error(rows) < 1e-12  # measured 0


def _naive_forward(arch: Architecture, tokens: int, keys_per_token: list[int]) -> int:
    """Multiply-adds of every product, one position at a time, times 2."""
    adds = 0
    for keys in keys_per_token:
        for _ in range(arch.layers):
            q, kv = arch.heads * arch.head_dim, arch.kv_heads * arch.head_dim
            adds += arch.hidden * q + 2 * arch.hidden * kv + q * arch.hidden
            adds += 3 * arch.hidden * arch.mlp
            for _head in range(arch.heads):
                adds += 2 * keys * arch.head_dim
    return 2 * adds


def test_decode_is_a_sum_over_positions() -> None:
    keys = [7, 8, 9, 20]
    cost = get_convention("exact").decode(TINY, len(keys), sum(keys), 2)
    head = 2 * 2 * TINY.hidden * TINY.vocab
    assert cost.matmul == _naive_forward(TINY, len(keys), keys) + head


@given(
    length=st.integers(1, 30),
    new=st.integers(1, 20),
    samples=st.integers(1, 5),
    batch=st.integers(1, 4),
)
def test_a_forecast_is_a_prefill_and_its_steps(
    length: int, new: int, samples: int, batch: int
) -> None:
    exact = get_convention("exact")
    cost = exact.forecast(TINY, batch, length, new, samples)
    total = exact.prefill(TINY, batch, length)
    for step in range(new - 1):
        rows = batch * samples
        total += exact.decode(TINY, rows, rows * (length + step + 1), rows)
    assert cost.total == total.total


def test_forced_tokens_save_the_head_only() -> None:
    exact = get_convention("exact")
    free = exact.forecast(TINY, 2, 10, 9, 3)
    forced = exact.forecast(TINY, 2, 10, 9, 3, forced=4)
    saved = {k: free.components[k] - v for k, v in forced.components.items()}
    assert {k for k, v in saved.items() if v} == {"head"}
    assert saved["head"] == 4 * 2 * 3 * 2 * TINY.hidden * TINY.vocab
    with pytest.raises(ConfigError, match="sampled"):
        exact.forecast(TINY, 1, 10, 4, forced=4)


@given(st.integers(1, 6), st.integers(1, 40), st.integers(1, 16))
def test_lora_costs_less_than_full_training_and_more_than_forward(
    batch: int, length: int, rank: int
) -> None:
    exact = get_convention("exact")
    forward = exact.forward(TINY, batch, length, loss=True).total
    full = exact.train_step(TINY, batch, length, None).total
    frozen = exact.train_step(TINY, batch, length, LoraSpec(1, ("q_proj",))).total
    more = exact.train_step(TINY, batch, length, LoraSpec(rank, ("q_proj", "down_proj"))).total
    assert forward < frozen < more
    assert frozen < full


def test_nothing_below_the_first_adapted_layer_is_charged() -> None:
    exact = get_convention("exact")
    top = exact.train_step(TINY, 2, 8, LoraSpec(2, ("down_proj",), layers=(2,)))
    every = exact.train_step(TINY, 2, 8, LoraSpec(2, ("down_proj",)))
    # Only the last down projection is adapted: no product of the frozen layers runs backwards.
    assert {k for k, v in top.backward.items() if v} == {
        "loss",
        "final_norm",
        "head",
        "lora.down_proj",
        "lora.scale",
    }
    assert every.backward["mlp.up_proj"] == 2 / 3 * every.forward["mlp.up_proj"]


def test_trained_inputs_carry_the_gradient_to_the_bottom() -> None:
    exact = get_convention("exact")
    spec = LoraSpec(2, ("q_proj", "v_proj"))
    below = exact.train_step(TINY, 2, 8, dataclasses.replace(spec, inputs_trained=True))
    table = exact.train_step(TINY, 2, 8, spec)
    for name in ("attention.q_proj", "attention.k_proj", "attention.v_proj"):
        assert table.backward[name] == 2 / 3 * below.backward[name]
    assert below.backward["mlp.up_proj"] == table.backward["mlp.up_proj"]


def test_tables_add_and_scale() -> None:
    exact = get_convention("exact")
    one = exact.forward(TINY, 1, 9)
    assert (one + one).total == (2 * one).total == exact.forward(TINY, 2, 9).total
    assert one.total == one.matmul + one.elementwise == sum(one.components.values())
    assert CostTable().total == 0
    train = exact.train_step(TINY, 1, 9, None)
    assert train.forward == exact.forward(TINY, 1, 9, loss=True).forward


def test_head_positions_and_pruning() -> None:
    exact = get_convention("exact")
    full, few = exact.forward(TINY, 2, 9), exact.forward(TINY, 2, 9, head_positions=3)
    assert full.components["head"] == 3 * few.components["head"]
    pruned = exact.forward(TINY.pruned(10), 2, 9)
    assert pruned.components["head"] == full.components["head"] / 4
    bias = exact.forward(TINY, 2, 9, LoraSpec(2, head_bias=True))
    assert bias.components["head.bias"] == 2 * 9 * TINY.vocab


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: get_convention("fung"), "expected one of coursework, exact, mao2025"),
        (lambda: get_convention("exact", attention="flash"), "sdpa"),
        (lambda: get_convention("coursework", attention="sdpa"), "options"),
        (lambda: LoraSpec(0), "at least 1"),
        (lambda: LoraSpec(4, "q_proj"), "tuple"),  # type: ignore[arg-type]
        (
            lambda: get_convention("exact").train_step(TINY, 1, 2, LoraSpec(2, layers=(3,))),
            r"0\.\.2",
        ),
        (
            lambda: get_convention("exact").forward(TINY, 1, 2, LoraSpec(2, ("c_attn",))),
            "c_attn",
        ),
    ],
)
def test_refused_in_one_line(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make()  # type: ignore[operator]
    assert "\n" not in str(caught.value)
