"""Shapes against published sizes and against models that transformers really builds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loracast.errors import ConfigError, ModelError
from loracast.flops import Architecture

from .torch_counter import FAMILIES, TINY

# Parameters as stored in the checkpoints on the Hugging Face hub (sum of safetensors shapes).
PUBLISHED_PARAMETERS = {
    "0.5B": 494_032_768,
    "1.5B": 1_543_714_304,
    "3B": 3_085_938_688,
    "7B": 7_615_616_512,
    "14B": 14_770_033_664,
    "32B": 32_763_876_352,
    "72B": 72_706_203_648,
}
CONFIG = {
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "num_hidden_layers": 24,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
    "hidden_act": "silu",
}


@pytest.mark.parametrize("size", PUBLISHED_PARAMETERS)
def test_built_in_sizes_have_the_published_parameters(size: str) -> None:
    for kind in ("", "-Instruct"):
        arch = Architecture.known(f"Qwen/Qwen2.5-{size}{kind}")
        assert arch.n_parameters == PUBLISHED_PARAMETERS[size]


def test_a_config_gives_the_built_in_shape(tmp_path: Path) -> None:
    known = Architecture.known("Qwen/Qwen2.5-0.5B-Instruct")
    assert Architecture.from_config(CONFIG) == known
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert Architecture.from_config(tmp_path) == known
    assert Architecture.from_config(tmp_path / "config.json", vocab=13) == known.pruned(13)


def test_the_shared_config_gives_the_built_in_shape(shared_dir: Path) -> None:
    arch = Architecture.from_config(shared_dir / "qwen2.5-0.5b-instruct")
    assert arch == Architecture.known("Qwen/Qwen2.5-0.5B-Instruct")


@pytest.mark.parametrize("family", [*FAMILIES, "mistral", "gemma2", "phi", "gpt2"])
def test_parameters_and_projections_as_transformers_builds_them(family: str) -> None:
    torch = pytest.importorskip("torch")
    from transformers import AutoConfig, AutoModelForCausalLM

    size = dict(TINY.get(family, TINY["qwen2"])) | {"vocab_size": 61}
    if family == "gpt2":
        size = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 40, "vocab_size": 61}
    config = AutoConfig.for_model(family, **size)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    arch = Architecture.from_config(config)
    assert arch.n_parameters == sum(p.numel() for p in model.parameters())
    shapes = {
        (name.rsplit(".", 1)[-1], *sorted(module.weight.shape))
        for name, module in model.named_modules()
        if ".layers.0." in name or ".h.0." in name
        if getattr(module, "weight", None) is not None and module.weight.dim() == 2
    }
    assert shapes == {(p.name, *sorted((p.n_in, p.n_out))) for p in arch.projections}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "mixtral"}, "mixtral"),
        ({}, "model_type=None"),
        ({"model_type": "qwen2"}, "missing"),
        ({**CONFIG, "num_key_value_heads": 3}, "multiple"),
        ({**CONFIG, "num_hidden_layers": 0}, "layers=0"),
        ({**CONFIG, "hidden_act": "tanh"}, "tanh"),
        (3, "int"),
        ("/no/such/folder", "cannot read"),
    ],
)
def test_refused_in_one_line(config: object, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        Architecture.from_config(config)
    assert "\n" not in str(caught.value)


def test_a_config_that_is_not_json(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not JSON"):
        Architecture.from_config(tmp_path)


def test_unknown_names() -> None:
    with pytest.raises(ModelError, match=r"Qwen2\.5"):
        Architecture.known("gpt-5")
    arch = Architecture.known("Qwen/Qwen2.5-0.5B")
    assert arch.resolve_targets(("q", "v_proj")) == ("q_proj", "v_proj")
    assert len(arch.resolve_targets(("all",))) == 7
    with pytest.raises(ConfigError, match="query"):
        arch.resolve_targets(("query",))
