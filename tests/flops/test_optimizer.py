"""What an update costs: the weights it touches, and Muon's products against torch's counter."""

from __future__ import annotations

import warnings
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from loracast.errors import ConfigError
from loracast.flops import (
    NEWTON_SCHULZ_STEPS,
    Architecture,
    LoraSpec,
    NumericHeadSpec,
    get_convention,
    muon_takes,
    trained_parameters,
)

from .torch_counter import FAMILIES, TARGETS, TINY, adapted, counted_flops

EMBEDDED = Path(str(resources.files("loracast"))) / "backbone" / "embedded"
QWEN = Architecture.known("Qwen/Qwen2.5-0.5B-Instruct")
NUMBERS_ONLY = Architecture.from_config(EMBEDDED, vocab=1)  # numbers as numbers: one token is left


@pytest.fixture(autouse=True)
def _quiet_libraries() -> object:
    """transformers warns about its own next major version while it builds a model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _model(family: str) -> tuple[Any, Architecture]:
    torch = pytest.importorskip("torch")
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(family, **(TINY[family] | {"vocab_size": 61}))
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config), Architecture.from_config(config)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_priced_weights_are_the_models_own(family: str) -> None:
    model, arch = _model(family)
    real = [(n, tuple(p.shape)) for n, p in model.named_parameters()]
    priced = list(trained_parameters(arch, None))
    assert sorted(s for _, s in priced) == sorted(s for _, s in real)
    by_rule = [sorted(s for n, s in rows if muon_takes(n, s)) for rows in (priced, real)]
    assert by_rule[0] == by_rule[1]
    # Independently of names: the hidden matrices are those of the layers.
    assert by_rule[0] == sorted(s for n, s in real if ".layers." in n and len(s) == 2)


@pytest.mark.parametrize("family", ["qwen2", "gpt_neox", "phi3"])
@pytest.mark.parametrize("layers", [None, (1,)])
def test_the_priced_factors_are_pefts_own(family: str, layers: tuple[int, ...] | None) -> None:
    model, arch = _model(family)
    names = TARGETS.get(arch.layout, TARGETS["llama"])[0]
    lora = LoraSpec(3, arch.resolve_targets(names), layers=layers)
    real = [tuple(p.shape) for p in adapted(model, lora).parameters() if p.requires_grad]
    assert sorted(s for _, s in trained_parameters(arch, lora)) == sorted(real)


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (6, 6), (1, 9)])
def test_newton_schulz_is_what_torch_counts(shape: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.randn(shape))
    weight.grad = torch.randn(shape)
    optimizer = torch.optim.Muon([weight])
    assert optimizer.param_groups[0]["ns_steps"] == NEWTON_SCHULZ_STEPS
    table = get_convention("exact").update([("w", shape)], "muon")
    assert table.matmul == counted_flops(optimizer.step)
    assert table.matmul == table.update["optimizer.newton_schulz"]
    short, long = min(shape), max(shape)
    assert table.elementwise == 22 * short * long + 15 * short**2


def test_full_training_of_the_embedded_base_spends_nine_giga_flops_on_its_update() -> None:
    """Measured around `optimizer.step()` of the real model: 9,030,860,800."""
    table = get_convention("exact").update(trained_parameters(NUMBERS_ONLY, None), "muon")
    assert table.matmul == 9_030_860_800


@pytest.mark.parametrize(("window", "of_lora", "of_full"), [(100, 0.017, 0.40), (80, 0.022, 0.51)])
def test_what_muons_products_add_to_a_step(window: int, of_lora: float, of_full: float) -> None:
    """Measured shares of the default study's steps: 16 windows of numbers, rank 32."""
    exact = get_convention("exact", attention="eager")
    values = NumericHeadSpec(inputs=96, width=384, hidden=192, outputs=72)

    def share(lora: LoraSpec | None) -> float:
        step = exact.train_step(NUMBERS_ONLY, 16, window, lora, head_positions=0)
        step += values.train_step(16 * window, 16 * (window - 1))
        trained = trained_parameters(NUMBERS_ONLY, lora, values)
        return exact.update(trained, "muon").matmul / step.total

    lora = LoraSpec(32, NUMBERS_ONLY.resolve_targets(("all",)), inputs_trained=True)
    assert share(lora) == pytest.approx(of_lora, abs=0.0005)
    assert share(None) == pytest.approx(of_full, abs=0.005)


def test_adamw_is_fourteen_operations_a_weight() -> None:
    table = get_convention("exact").update(trained_parameters(QWEN, None), "adamw")
    assert table.update == {"optimizer.adamw": 14 * QWEN.n_parameters}
    assert table.matmul == 0
    lora = LoraSpec(4)
    factors = get_convention("exact").update(trained_parameters(QWEN, lora), "adamw")
    assert factors.total == 14 * 24 * 4 * ((896 + 896) + (896 + 128))  # q and v of 24 layers


@pytest.mark.parametrize("convention", ["coursework", "mao2025"])
def test_published_rules_do_not_count_it(convention: str) -> None:
    assert get_convention(convention).update(trained_parameters(QWEN, None), "muon").total == 0


@pytest.mark.parametrize("convention", ["exact", "coursework"])
def test_another_optimizer_is_refused(convention: str) -> None:
    with pytest.raises(ConfigError, match="'sgd', expected one of adamw, muon"):
        get_convention(convention).update([], "sgd")
