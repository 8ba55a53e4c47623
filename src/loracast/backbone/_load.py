"""Load a causal language model safely: the embedded base, a local folder, or a hub id.

Knows files and architectures, not series or codecs. Only safetensors are read, no remote code
runs, and a missing network is said in one line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from loracast.backbone._card import BaseCard, read_card
from loracast.backbone._numeric_head import attach_numeric_head, load_numeric_head, numeric_head_of
from loracast.backbone._vocabulary import Vocabulary, prune_vocabulary
from loracast.errors import ModelError
from loracast.files import sha256_of, sha256_of_file
from loracast.flops import Architecture, NumericHeadSpec

__all__ = ["EMBEDDED_DIR", "Backbone", "load_backbone", "resolve_model"]

EMBEDDED_DIR = Path(__file__).parent / "embedded"

# What a model folder may bring: weights as safetensors, plain JSON, tokenizer files.
_PATTERNS = ["*.safetensors", "*.json", "merges.txt", "*.model", "tokenizer*"]


@dataclass
class Backbone:
    """A loaded model with what identifies it.

    Args:
        model: the causal LM, in evaluation mode; its vocabulary may be pruned.
        tokenizer: its tokenizer, always over full ids.
        name: what was asked for ('embedded', a folder, a hub id).
        base_sha256: hash of the weights as they lie on disk, or of configuration and seed for a
            random start.
        vocabulary: the map between full ids and rows of the model.
        random_start: the seed of random weights, None for pretrained ones.
        card: what the weights were pretrained on, None where nobody knows (or on nothing).
    """

    model: Any
    tokenizer: Any
    name: str
    base_sha256: str
    vocabulary: Vocabulary
    random_start: int | None = None
    card: BaseCard | None = None

    @property
    def architecture(self) -> Architecture:
        """Shapes that cost FLOPs, with the vocabulary as it is now."""
        return Architecture.from_config(self.model.config, vocab=len(self.vocabulary.kept))

    @property
    def bos_full_id(self) -> int | None:
        """The full id of the token a document starts with, if the tokenizer adds one itself."""
        first = self.tokenizer.encode("1")[:1]
        bos = self.tokenizer.bos_token_id
        return int(bos) if bos is not None and first == [bos] else None

    @property
    def numeric_head_spec(self) -> NumericHeadSpec | None:
        """What its numeric head costs; None without one."""
        interface = numeric_head_of(self.model)
        if interface is None:
            return None
        shape = interface.shape
        return NumericHeadSpec(shape.inputs, shape.width, shape.hidden, shape.outputs)

    @property
    def positions(self) -> int | None:
        """The longest sequence the model has positions for; None where it has no limit."""
        config = self.model.config
        config = config.get_text_config() if hasattr(config, "get_text_config") else config
        limit = getattr(config, "max_position_embeddings", None)
        return None if limit is None else int(limit)

    def use_numeric_head(self, wanted: bool, seed: int = 0) -> None:
        """Keep, attach or take away the numeric head.

        Args:
            wanted: whether numbers are shown as numbers.
            seed: of a fresh one, where the model came without.
        """
        if not wanted:
            self.model.value_interface = None
        elif numeric_head_of(self.model) is None:
            attach_numeric_head(self.model, seed=seed)

    def prune(self, keep_full_ids: Iterable[int]) -> None:
        """Keep only these tokens (and the one that starts a document)."""
        keep = set(keep_full_ids)
        if self.bos_full_id is not None:
            keep.add(self.bos_full_id)
        self.vocabulary = prune_vocabulary(self.model, keep)


def resolve_model(model: str) -> Path:
    """The local folder of a model.

    Raises:
        ModelError: no such folder, and no such model in the local hub cache or on the hub.
    """
    if model == "embedded":
        return EMBEDDED_DIR
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise ModelError(f"got the file {model} as a model; expected a folder or a hub id")
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise ModelError(
            f"model {model!r} is not 'embedded', not a folder here and not a hub id (owner/name)"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
    try:
        return Path(snapshot_download(model, allow_patterns=_PATTERNS, local_files_only=offline))
    except (LocalEntryNotFoundError, OSError, HFValidationError, HfHubHTTPError) as error:
        raise ModelError(
            f"model {model!r} is not in the local hub cache and could not be fetched "
            f"({type(error).__name__}); go online once, give a local folder, "
            "or use --model embedded"
        ) from error


def quiet_transformers() -> None:
    """Keep the library's bars and warnings off a terminal that has our own."""
    from transformers.utils import logging as hf_logging

    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()


def _read_config(folder: Path, model: str) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"model {model!r}: no config.json in {folder}; expected a model folder")
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"model {model!r}: {path} is not readable JSON ({error})") from error
    if "auto_map" in config:
        raise ModelError(
            f"model {model!r} needs code of its own (auto_map in config.json); "
            "loracast runs no remote code: choose an architecture that transformers knows"
        )
    return config


def load_backbone(
    model: str = "embedded",
    *,
    random_start: int | None = None,
    device: str = "cpu",
) -> Backbone:
    """Load a model for adaptation, in float32 and evaluation mode.

    Args:
        model: 'embedded', a local folder, or a hub id.
        random_start: with a seed, the same architecture with random weights instead.
        device: a torch device.

    Raises:
        ModelError: not found, not safetensors, broken, or in need of remote code.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    quiet_transformers()
    folder = resolve_model(model)
    _read_config(folder, model)
    weights = sorted(folder.glob("*.safetensors"))
    if random_start is None and not weights:
        others = sorted(p.name for p in folder.glob("*.bin")) + sorted(
            p.name for p in folder.glob("*.pt*")
        )
        found = f"found only {others[:3]}" if others else "found no weights"
        raise ModelError(
            f"model {model!r}: {found} in {folder}; expected *.safetensors "
            "(pickled weights are never loaded)"
        )
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        if random_start is None:
            net: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
            )
            digest = sha256_of_file(*weights)
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(random_start)
                net = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
            digest = sha256_of(f"{config.to_json_string()}\nrandom start {random_start}")
    except ModelError:
        raise
    except Exception as error:  # transformers raises a dozen kinds for a broken folder
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise ModelError(
            f"model {model!r} in {folder} could not be loaded: {type(error).__name__}: {reason}"
        ) from error
    if random_start is None:
        load_numeric_head(net, folder)
    net.eval().to(device)
    size = int(net.get_input_embeddings().weight.shape[0])
    return Backbone(
        model=net,
        tokenizer=tokenizer,
        name=model,
        base_sha256=digest,
        vocabulary=Vocabulary(kept=tuple(range(size)), full_size=size),
        random_start=random_start,
        card=read_card(folder) if random_start is None else None,
    )
