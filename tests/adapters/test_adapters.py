"""An adapter survives the disk, knows its base, and refuses another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from loracast.adapters import (
    AdapterConfig,
    AdapterManifest,
    attach_lora,
    load_adapter,
    lora_parameters,
    merge_adapter,
    save_adapter,
)
from loracast.backbone import Backbone, build_embedded, embedded_config, load_backbone
from loracast.errors import AdapterError, StorageError

KEEP = [5, 20, 21, 22, 23, 40]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "base"
    build_embedded(folder, embedded_config(64, 2, 96), seed=3)
    return folder


def _adapted(base: Path, config: AdapterConfig) -> Backbone:
    backbone = load_backbone(str(base))
    backbone.prune(KEEP)
    backbone.model = attach_lora(backbone.model, config, seed=1)
    with torch.no_grad():  # B is 0 at first: give it something to lose
        generator = torch.Generator().manual_seed(5)
        for weight in lora_parameters(backbone.model).values():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    return backbone


def _manifest(backbone: Backbone, config: AdapterConfig) -> AdapterManifest:
    return AdapterManifest(
        model=backbone.name,
        base_sha256=backbone.base_sha256,
        kept_ids=backbone.vocabulary.kept,
        adapter=config,
        codec={"name": "compact"},
        context_steps=70,
        n_channels=2,
    )


def _logits(backbone: Backbone) -> torch.Tensor:
    backbone.model.eval()
    with torch.no_grad():
        return backbone.model(input_ids=torch.tensor([[0, 3, 1, 2, 5, 4]])).logits


def _agree(found: torch.Tensor, expected: torch.Tensor) -> None:
    """The same sums from weights that lie elsewhere in memory.

    Kernels choose their order by alignment and processor, so float32 may round differently in
    every one of some hundred terms; measured 0 on this kind of model, 4e-7 at worst elsewhere.
    """
    torch.testing.assert_close(found, expected, atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        AdapterConfig(rank=4, targets=("q", "v"), rslora=False),
        AdapterConfig(rank=2, targets=("q_proj", "k_proj"), dropout=0.1),
        AdapterConfig(rank=3, targets="all", head_bias=True),
        AdapterConfig(method="full"),
    ],
    ids=["q,v", "q,k dropout", "all, head bias", "full"],
)
def test_a_saved_adapter_computes_the_same_when_loaded(
    base: Path, tmp_path: Path, config: AdapterConfig
) -> None:
    backbone = _adapted(base, config)
    before = _logits(backbone)
    save_adapter(backbone.model, tmp_path / "a", _manifest(backbone, config))
    loaded, manifest = load_adapter(tmp_path / "a")
    assert manifest.adapter == config
    _agree(_logits(loaded), before)
    plain = load_backbone(str(base))
    plain.prune(KEEP)
    assert (_logits(plain) - before).abs().max() > 1e-3, "the adapter must matter"


def test_fresh_lora_leaves_the_function_unchanged(base: Path) -> None:
    plain = load_backbone(str(base))
    plain.prune(KEEP)
    before = _logits(plain)
    plain.model = attach_lora(plain.model, AdapterConfig(rank=4, head_bias=True), seed=1)
    _agree(_logits(plain), before)


def test_only_what_was_asked_for_is_trained(base: Path) -> None:
    backbone = load_backbone(str(base))
    backbone.prune(KEEP)
    config = AdapterConfig(rank=4, targets=("q", "v"), head_bias=True)
    model = attach_lora(backbone.model, config, seed=1)
    names = set(lora_parameters(model))
    assert {n.split(".")[-1] for n in names if "lora" not in n} == {"bias"}
    projections = {n.split(".self_attn.")[1].split(".")[0] for n in names if "lora" in n}
    assert projections == {"q_proj", "v_proj"}
    # 2 layers, rank 4: A [4, 64] and B [64, 4] for q and v (one kv head of 64), and the bias
    assert sum(p.numel() for p in lora_parameters(model).values()) == 2 * 2 * 4 * 128 + 6


def test_the_standard_file_holds_no_embedding(base: Path, tmp_path: Path) -> None:
    config = AdapterConfig(rank=2)
    backbone = _adapted(base, config)
    save_adapter(backbone.model, tmp_path / "a", _manifest(backbone, config))
    with safe_open(tmp_path / "a" / "adapter_model.safetensors", "pt") as file:
        assert all("lora_" in name for name in file.keys())  # noqa: SIM118
    assert json.loads((tmp_path / "a" / "adapter_config.json").read_text())["r"] == 2


def test_the_wrong_base_is_refused(base: Path, tmp_path: Path) -> None:
    config = AdapterConfig(rank=2)
    backbone = _adapted(base, config)
    save_adapter(backbone.model, tmp_path / "a", _manifest(backbone, config))
    build_embedded(tmp_path / "other", embedded_config(64, 2, 96), seed=4)
    with pytest.raises(AdapterError, match="was trained on base"):
        load_adapter(tmp_path / "a", model=str(tmp_path / "other"))


def test_merged_weights_compute_what_base_and_adapter_did(base: Path, tmp_path: Path) -> None:
    config = AdapterConfig(rank=4)
    backbone = _adapted(base, config)
    save_adapter(backbone.model, tmp_path / "a", _manifest(backbone, config))
    merge_adapter(tmp_path / "a", tmp_path / "merged")
    merged = load_backbone(str(tmp_path / "merged"))
    merged.prune(KEEP)
    # folding B A into W rounds once: measured 2e-6
    torch.testing.assert_close(_logits(merged), _logits(backbone), atol=2e-5, rtol=1e-5)


def test_bad_folders_and_targets_are_one_clear_line(base: Path, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"holds no loracast\.json"):
        load_adapter(tmp_path)
    (tmp_path / "loracast.json").write_text("{")
    with pytest.raises(AdapterError, match="not a valid adapter manifest"):
        load_adapter(tmp_path)
    backbone = load_backbone(str(base))
    backbone.prune(KEEP)
    with pytest.raises(AdapterError, match="this model has the linear layers"):
        attach_lora(backbone.model, AdapterConfig(targets=("q", "nope")), seed=0)


def test_a_folder_with_other_things_is_not_replaced(base: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("irreplaceable")
    config = AdapterConfig(rank=2)
    backbone = _adapted(base, config)
    with pytest.raises(StorageError, match="refusing to replace"):
        save_adapter(backbone.model, tmp_path / "mine", _manifest(backbone, config))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "irreplaceable"
