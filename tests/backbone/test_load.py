"""Loading is safe, offline, and says in one line what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from loracast.backbone import build_embedded, embedded_config, load_backbone
from loracast.errors import ModelError


@pytest.fixture
def base(tmp_path: Path) -> Path:
    build_embedded(tmp_path / "base", embedded_config(64, 2, 96), seed=3)
    return tmp_path / "base"


def test_a_folder_loads_with_hash_and_architecture(base: Path) -> None:
    loaded = load_backbone(str(base))
    again = load_backbone(str(base))
    assert loaded.base_sha256 == again.base_sha256
    assert loaded.architecture.layers == 2
    assert loaded.architecture.vocab == embedded_config()["vocab_size"]
    loaded.prune([10, 20])
    assert loaded.architecture.vocab == 2
    assert loaded.bos_full_id is None


def test_a_token_that_starts_documents_is_found_and_kept(base: Path) -> None:
    """Llama and Gemma tokenizers put one before every text; Qwen's do not."""
    end = embedded_config()["eos_token_id"]
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", end)]
    )
    tokenizer.save(str(base / "tokenizer.json"))
    facts = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps(facts | {"bos_token": "<|endoftext|>"}))
    loaded = load_backbone(str(base))
    assert loaded.bos_full_id == end
    loaded.prune([10, 20])
    assert loaded.vocabulary.kept == (10, 20, end)


def test_a_random_start_has_the_same_shape_other_weights_and_its_seed_decides_them(
    base: Path,
) -> None:
    loaded, one, same, other = (load_backbone(str(base), random_start=s) for s in (None, 1, 1, 2))
    weight = [m.model.get_input_embeddings().weight for m in (loaded, one, same, other)]
    assert weight[0].shape == weight[1].shape
    assert not torch.equal(weight[0], weight[1])
    assert torch.equal(weight[1], weight[2])
    assert not torch.equal(weight[1], weight[3])
    assert len({m.base_sha256 for m in (loaded, one, same, other)}) == 3


def test_pickled_weights_are_never_loaded(base: Path) -> None:
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"expected \*\.safetensors"):
        load_backbone(str(base))


def test_remote_code_is_refused(base: Path) -> None:
    config = json.loads((base / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling.Mine"}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="no remote code"):
        load_backbone(str(base))


def test_a_truncated_file_is_one_clear_line(base: Path) -> None:
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="could not be loaded") as caught:
        load_backbone(str(base))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("someone/not-here", "embedded"),
        ("not-a-thing", "not a folder here and not a hub id"),
        ("a/b/c", "not a folder here and not a hub id"),
    ],
)
def test_an_unknown_model_is_one_clear_line(name: str, says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        load_backbone(name)
    assert "\n" not in str(caught.value)
