"""What `optimizer: muon` and `adamw` do to which weights, against slow references by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loracast.adapters import AdapterConfig, attach_lora
from loracast.backbone import build_embedded, embedded_config, load_backbone
from loracast.codec import make_codec
from loracast.forecasting import forecast_task
from loracast.training import Example, TrainConfig
from loracast.training._batches import collate
from loracast.training._loop import _Run
from loracast.training._loss import batch_loss

PROJECTIONS = [
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("optimizer") / "base"
    build_embedded(folder, embedded_config(64, 2, 96), seed=3)
    return folder


def _model(home: Path, method: str) -> Any:
    base = load_backbone(str(home))
    base.use_numeric_head(True, seed=1)
    base.prune(range(20))
    seeded = torch.Generator().manual_seed(7)
    with torch.no_grad():
        base.model.value_interface.head_out.weight.normal_(0, 0.2, generator=seeded)
    config = AdapterConfig(method=method, rank=4)  # type: ignore[arg-type]
    model = attach_lora(base.model, config, seed=2)
    with torch.no_grad():  # B is 0 at first, and A then has no gradient
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.05, generator=seeded)
    return model


def _rows() -> list[Example]:
    """Numbers to forecast, and text, so that every weight has a gradient."""
    task = forecast_task(make_codec("continuous"), [5])
    rng = np.random.default_rng(4)
    shown = [task.example(rng.normal(size=(16, 2)).cumsum(axis=0), 8) for _ in range(2)]
    ids = rng.integers(0, 20, 18)
    return [*shown, Example(ids, ids.copy())]


def _run(home: Path, folder: Path, method: str, **dials: Any) -> _Run:
    config = TrainConfig(
        steps=10, warmup_steps=0, schedule="constant", clip_norm=None, precision="fp32", **dials
    )
    return _Run(_model(home, method), config, "t", folder)


def _names(run: _Run, optimizer: torch.optim.Optimizer) -> set[str]:
    names = {id(weight): name for name, weight in run.weights.items()}
    return {names[id(p)] for group in optimizer.param_groups for p in group["params"]}


def test_muon_gets_exactly_the_matrices_of_the_layers(home: Path, tmp_path: Path) -> None:
    run = _run(home, tmp_path, "full", optimizer="muon")
    muon, adamw = run.optimizers
    assert isinstance(muon, torch.optim.Muon)
    assert isinstance(adamw, torch.optim.AdamW)
    hidden = {f"model.layers.{i}.{p}.weight" for i in (0, 1) for p in PROJECTIONS}
    assert _names(run, muon) == hidden
    rest = {"model.embed_tokens.weight", "model.norm.weight"}  # the head is tied to the embedding
    for i in (0, 1):
        rest |= {f"model.layers.{i}.self_attn.{x}_proj.bias" for x in "qkv"}
        rest |= {f"model.layers.{i}.{x}_layernorm.weight" for x in ("input", "post_attention")}
    rest |= {
        f"value_interface.{part}.{kind}"
        for part in ("embed_in", "embed_out", "head_in", "head_out")
        for kind in ("weight", "bias")
    }
    assert _names(run, adamw) == rest
    assert [g["weight_decay"] for g in adamw.param_groups] == [0.0]


def test_muon_gets_the_factors_of_lora(home: Path, tmp_path: Path) -> None:
    run = _run(home, tmp_path, "lora", optimizer="muon")
    muon, adamw = run.optimizers
    place = "base_model.model.model.layers"
    assert _names(run, muon) == {
        f"{place}.{i}.{p}.lora_{x}.default.weight"
        for i in (0, 1)
        for p in PROJECTIONS
        for x in "AB"
    }
    assert {n.split("value_interface.")[-1].split(".")[0] for n in _names(run, adamw)} == {
        "embed_in", "embed_out", "head_in", "head_out",
    }  # fmt: skip


@pytest.mark.parametrize("method", ["full", "lora"])
def test_adamw_takes_everything_where_it_is_asked_for(
    home: Path, tmp_path: Path, method: str
) -> None:
    run = _run(home, tmp_path, method, optimizer="adamw", weight_decay=0.1)
    (adamw,) = run.optimizers
    assert isinstance(adamw, torch.optim.AdamW)
    assert _names(run, adamw) == set(run.weights)
    assert [g["weight_decay"] for g in adamw.param_groups] == [0.1]


def _gradients(home: Path, method: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Weights before the step and the gradients of its loss, by a backward pass of their own."""
    model = _model(home, method).train()
    total, tokens = batch_loss(model, collate(_rows(), torch.device("cpu")))
    (total / tokens).backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    weights = {n: p.detach().double().numpy() for n, p in trained.items()}
    found = {n: p.grad.double().numpy() for n, p in trained.items() if p.grad is not None}
    return weights, found


def _rounded(x: np.ndarray) -> np.ndarray:
    """To bfloat16 and back: 8 bits of mantissa, half to even."""
    bits = x.astype(np.float32).view(np.uint32)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return bits.view(np.float32).astype(np.float64)


def _orthogonal(matrix: np.ndarray) -> np.ndarray:
    """Newton-Schulz: five steps of Jordan et al.'s quintic (2024), rounded as they round it."""
    x = _rounded(matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T)
    x = _rounded(x / _rounded(np.array([np.linalg.norm(x)])))
    for _ in range(5):
        gram = _rounded(x @ x.T)
        x = _rounded(3.4445 * x + _rounded(-4.7750 * gram + 2.0315 * gram @ gram) @ x)
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


@pytest.mark.parametrize("method", ["full", "lora"])
def test_two_steps_of_muon_are_those_of_the_slow_reference(
    home: Path, tmp_path: Path, method: str
) -> None:
    """Nesterov momentum 0.95, orthogonalised, scaled to AdamW's root mean square, decayed."""
    rate, decay = 0.02, 5.0  # so large that the decay is seen beside the update
    run = _run(home, tmp_path, method, optimizer="muon", learning_rate=rate, weight_decay=decay)
    expected, first = _gradients(home, method)
    hidden = _names(run, run.optimizers[0])
    momentum = {name: np.zeros_like(expected[name]) for name in hidden}

    def update(name: str, gradient: np.ndarray) -> None:
        momentum[name] = 0.95 * momentum[name] + 0.05 * gradient
        looked_ahead = 0.05 * gradient + 0.95 * momentum[name]
        scale = 0.2 * np.sqrt(max(gradient.shape))
        expected[name] *= 1 - rate * decay
        expected[name] -= rate * scale * _orthogonal(looked_ahead)

    def check() -> None:
        for name in hidden:
            moved = run.weights[name].detach().double().numpy() - before[name]
            wanted = expected[name] - before[name]
            # Another order of sums rounds some entries to the other bfloat16 (2^-9), and what is
            # small beside the largest singular value grows 480-fold: measured 0.038 at worst.
            error = np.linalg.norm(moved - wanted) / np.linalg.norm(wanted)
            assert error < 0.1, (name, error)

    before = {name: weight.copy() for name, weight in expected.items()}
    for name in hidden:
        update(name, first[name])
    run.step(_rows())
    check()

    # The second step has momentum; its gradients are those of the weights as they now are.
    before = {n: p.detach().double().numpy().copy() for n, p in run.weights.items()}
    expected.update({name: before[name].copy() for name in hidden})
    run.model.train()
    total, tokens = batch_loss(run.model, collate(_rows(), torch.device("cpu")))
    (total / tokens).backward()
    for name in hidden:
        update(name, run.weights[name].grad.double().numpy())
        run.weights[name].grad = None
    run.model.zero_grad(set_to_none=True)
    run.step(_rows())
    check()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_of_adamw_is_that_of_the_slow_reference(
    home: Path, tmp_path: Path, optimizer: str
) -> None:
    """Loshchilov & Hutter 2019, the first step: moments without memory, corrected to g and g^2."""
    rate, decay = 0.02, 0.1
    run = _run(home, tmp_path, "full", optimizer=optimizer, learning_rate=rate, weight_decay=decay)
    before, gradients = _gradients(home, "full")
    run.step(_rows())
    names = _names(run, run.optimizers[-1])
    kept = decay if optimizer == "adamw" else 0.0  # beside Muon nothing is decayed
    for name in names & set(gradients):
        g = gradients[name]
        wanted = (1 - rate * kept) * before[name] - rate * g / (np.abs(g) + 1e-8)
        found = run.weights[name].detach().double().numpy()
        # Two backward passes; where a gradient is near 1e-8 its sign decides little.
        sure = np.abs(g) > 1e-5
        assert sure.any(), name
        np.testing.assert_allclose(found[sure], wanted[sure], atol=3e-5)


def test_the_dials_reach_the_optimisers(home: Path, tmp_path: Path) -> None:
    """Betas, the schedule's rate at every step, and gradients cut to the norm asked for."""
    config = TrainConfig(
        steps=6, warmup_steps=2, final_share=0.0, learning_rate=0.02, betas=(0.8, 0.9),
        clip_norm=1e-3, optimizer="muon", precision="fp32",
    )  # fmt: skip
    run = _Run(_model(home, "full"), config, "t", tmp_path)
    muon, adamw = run.optimizers
    assert [g["betas"] for g in adamw.param_groups] == [(0.8, 0.9)]
    seen: list[tuple[float, float, float]] = []

    def look(*_: Any) -> None:
        norms = [p.grad.norm() for p in run.weights.values() if p.grad is not None]
        rates = [o.param_groups[0]["lr"] for o in run.optimizers]
        seen.append((*rates, float(torch.stack(norms).norm())))

    muon.register_step_pre_hook(look)
    for _ in range(6):
        run.step(_rows())
    # half and whole warmup, then the half cosine over the four steps that are left
    shares = [0.5, 1.0, *(0.5 * (1 + np.cos(np.pi * k / 4)) for k in range(4))]
    for (by_muon, by_adamw, norm), share in zip(seen, shares, strict=True):
        assert by_muon == by_adamw == pytest.approx(0.02 * share)
        assert norm == pytest.approx(1e-3, rel=1e-3)
