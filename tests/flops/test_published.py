"""Published digits, and the coursework's rules counted slowly by hand."""

from __future__ import annotations

import pytest

from loracast.errors import ConfigError
from loracast.flops import Architecture, LoraSpec, get_convention
from loracast.flops._published import mao2025_table10, mao2025_table14, step_by_convention

QWEN = Architecture.known("Qwen/Qwen2.5-0.5B-Instruct")
TINY = Architecture(layers=2, hidden=6, heads=2, kv_heads=1, head_dim=4, mlp=10, vocab=9)


def test_table_10_to_the_digit() -> None:
    rows = mao2025_table10()
    assert [r.published for r in rows] == [
        *(52743, 52738, 52728),
        *(12500, 12499, 12496),
        *(8054, 8053, 8052),
    ]
    assert [r.recomputed for r in rows] == [r.published for r in rows]


def test_table_14_within_two_hundredths_of_a_point() -> None:
    rows = mao2025_table14()
    assert [r.published for r in rows] == [8.000, 36.000, 11.158]
    assert max(abs(r.difference) for r in rows) < 0.02


@pytest.mark.parametrize(
    ("length", "flops"), [(128, 1.8962e12), (512, 8.0009e12), (768, 1.2418e13)]
)
def test_the_published_step(length: int, flops: float) -> None:
    step = get_convention("mao2025").train_step(QWEN, 4, length, LoraSpec(4, ("q_proj", "k_proj")))
    assert step.total == pytest.approx(flops, rel=5e-5)


def _product(m: int, n: int, p: int) -> int:
    """FLOPs of a matrix product, entry by entry: n products and n - 1 sums each."""
    count = 0
    for _ in range(m):
        for _ in range(p):
            count += n + (n - 1)
    return count


def _softmax_row(n: int) -> int:
    return sum(10 for _ in range(n)) + (n - 1) + n


def _norm_row(n: int) -> int:
    squares, sums, mean, epsilon, root, quotients, weights = n, n - 1, 1, 1, 10, n, n
    return squares + sums + mean + epsilon + root + quotients + weights


def _coursework_row(arch: Architecture, length: int, rank: int) -> int:
    """One row's forward and loss with LoRA on q and v, counted in the order it runs."""
    width = arch.heads * arch.head_dim
    count = 0
    for _ in range(arch.layers):
        count += length * _norm_row(arch.hidden)
        for _name in "qkv":
            count += _product(length, arch.hidden, width) + length * width
        for _name in "qv":
            count += _product(length, arch.hidden, rank) + _product(length, rank, width)
            count += 2 * length * width
        count += 2 * length * width
        for _head in range(arch.heads):
            count += _product(length, arch.head_dim, length)
            count += 2 * length * length
            count += length * _softmax_row(length)
            count += _product(length, length, arch.head_dim)
        count += _product(length, width, arch.hidden)
        count += length * arch.hidden
        count += length * _norm_row(arch.hidden)
        count += 2 * _product(length, arch.hidden, arch.mlp)
        count += length * arch.mlp * (1 + 10 + 1 + 1 + 1)
        count += _product(length, arch.mlp, arch.hidden)
        count += length * arch.hidden
    count += length * _norm_row(arch.hidden)
    count += _product(length, arch.hidden, arch.vocab)
    return count + length * (_softmax_row(arch.vocab) + 10 + 1 + 1)


def test_coursework_against_a_slow_count() -> None:
    rules = get_convention("coursework")
    row = _coursework_row(TINY, 5, 3)
    lora = LoraSpec(3, ("q_proj", "v_proj"))
    assert rules.validate(TINY, 1, 5, lora).total == row
    assert rules.train_step(TINY, 4, 5, lora).total == 3 * 4 * row


def test_the_reasons_explain_the_published_totals() -> None:
    steps = step_by_convention(512, 4)
    # Three public solutions of the exercise: 2.42e12, 6.76e12 and 6.77e12 for this step.
    assert steps["coursework"] == pytest.approx(6.77e12, rel=5e-3)
    assert steps["3 x exact forward, multi-head"] == pytest.approx(6.77e12, rel=1e-3)
    assert steps["exact"] < steps["3 x exact forward"] < steps["coursework"] < steps["mao2025"]
    assert steps["3 x exact forward, no head, multiply-add as 1"] == pytest.approx(
        2.42e12, rel=0.04
    )
    assert steps["exact, vocabulary of 13"] < 0.75 * steps["exact"]


def test_fungs_final_row_cannot_be_fifteen_thousand_steps() -> None:
    one_row = get_convention("coursework").forward(QWEN, 1, 768).total
    assert one_row > 9.812e15 / 15_000  # less than one forward pass of one row
    one_row_trained = get_convention("exact").train_step(QWEN, 1, 768, LoraSpec(4)).total
    assert 9.812e15 / 15_000 < one_row_trained < 7.52e16 / 15_000


def test_other_families_are_refused() -> None:
    neox = Architecture(
        layers=1, hidden=8, heads=2, kv_heads=2, head_dim=4, mlp=8, vocab=9, layout="neox"
    )
    with pytest.raises(ConfigError, match="Llama-like"):
        get_convention("coursework").forward(neox, 1, 4)
    with pytest.raises(ConfigError, match="per head"):
        get_convention("mao2025").forward(QWEN, 1, 4, LoraSpec(4, ("down_proj",)))
