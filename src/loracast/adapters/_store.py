"""Save an adapter as a standard PEFT folder plus one small file of ours, and load it safely.

Knows folders and hashes. Why ours: PEFT records neither which tokens a pruned base kept nor
which weights it was trained on, and loads onto the wrong base without a word.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from loracast.adapters._lora import AdapterConfig, head_bias, quiet_peft
from loracast.backbone import (
    Backbone,
    ValueShape,
    attach_values,
    load_backbone,
    load_values,
    save_values,
    values_of,
)
from loracast.errors import AdapterError, StorageError, faults_in_one_line

__all__ = ["MANIFEST", "AdapterManifest", "load_adapter", "read_manifest", "save_adapter"]

MANIFEST = "loracast.json"
_BIAS = "head_bias.safetensors"
_WEIGHTS = "adapter_model.safetensors"


class AdapterManifest(BaseModel):
    """What an adapter needs to know of its base and its task.

    Args:
        model: how the base was named.
        base_sha256: hash of the base's weights.
        kept_ids: full token ids the pruned base kept, in row order.
        adapter: how it was adapted.
        codec: `make_codec(**codec)` builds the codec.
        context_steps: the context it was trained for.
        n_channels: channels it was trained on.
        random_start: seed of a random base, None for a pretrained one.
        values: size of the value interface, None where numbers are text.
        spread: factors (H,) by which sampled numbers are drawn apart, measured on held-out series.
        training: free facts (data hash, FLOPs, seed), for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = 1
    model: str
    base_sha256: str
    kept_ids: tuple[int, ...]
    adapter: AdapterConfig
    codec: dict[str, Any]
    context_steps: int
    n_channels: int
    random_start: int | None = None
    values: ValueShape | None = None
    spread: tuple[float, ...] = ()
    training: dict[str, Any] = {}


def save_adapter(
    model: Any,
    folder: Path,
    manifest: AdapterManifest,
    extra_files: dict[str, Path] | None = None,
) -> None:
    """Write the adapter atomically: a finished folder appears, or none.

    Args:
        model: the PEFT model (or the plain model, fully trained).
        folder: where; an existing adapter there is replaced.
        manifest: what belongs to it.
        extra_files: further files to put beside it, by name.

    Raises:
        StorageError: the folder cannot be written, or holds something else.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise StorageError(
            f"{folder} exists and holds no adapter; refusing to replace it: choose another folder"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
        try:
            if manifest.adapter.method == "full":
                state = {k: v.detach().contiguous() for k, v in model.state_dict().items()}
                if model.config.tie_word_embeddings:
                    state.pop("lm_head.weight", None)
                save_file(state, work / _WEIGHTS)
            else:
                model.save_pretrained(work, save_embedding_layers=False)
                (work / "README.md").unlink(missing_ok=True)
                interface = values_of(model)
                if interface is not None:
                    save_values(interface, work)
                bias = head_bias(model)
                if bias is not None:
                    save_file({"bias": bias.detach().contiguous()}, work / _BIAS)
            for name, source in (extra_files or {}).items():
                shutil.copyfile(source, work / name)
            (work / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n")
            for file in work.iterdir():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
            work.chmod(0o755)
            if folder.exists():
                shutil.rmtree(folder)
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise StorageError(f"the adapter could not be written to {folder}: {error}") from error


def read_manifest(folder: Path) -> AdapterManifest:
    """Our file of an adapter folder.

    Raises:
        AdapterError: missing, broken, or of a newer format.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise AdapterError(
            f"{folder} holds no {MANIFEST}; expected a folder written by loracast fit or study"
        )
    try:
        manifest = AdapterManifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, ValidationError) as error:
        raise AdapterError(
            f"{path} is not a valid adapter manifest: {faults_in_one_line(error)}"
        ) from error
    if manifest.format_version != 1:
        raise AdapterError(
            f"{path} has format {manifest.format_version}; this version reads 1: update loracast"
        )
    return manifest


def load_adapter(
    folder: Path, *, model: str | None = None, base: Backbone | None = None
) -> tuple[Backbone, AdapterManifest]:
    """Load an adapter onto its base, pruned as it was when trained.

    Args:
        folder: of `save_adapter`.
        model: where the base is now, if it moved; default is the name it was trained under.
        base: an unadapted backbone to use instead of loading one.

    Returns:
        The backbone with the adapted model inside, and its manifest.

    Raises:
        AdapterError: not an adapter, or trained on other weights.
        ModelError: the base cannot be loaded.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if not (folder / _WEIGHTS).is_file():
        raise AdapterError(f"{folder} holds no {_WEIGHTS}; the adapter is incomplete")
    if base is None:
        base = load_backbone(model or manifest.model, random_start=manifest.random_start)
    if base.base_sha256 != manifest.base_sha256:
        raise AdapterError(
            f"the adapter in {folder} was trained on base {manifest.base_sha256[:12]} "
            f"({manifest.model}), but the model given is {base.base_sha256[:12]} ({base.name}); "
            "load it on its own base (--model)"
        )
    if not base.vocabulary.pruned:
        base.prune(manifest.kept_ids)
    if base.vocabulary.kept != manifest.kept_ids:
        raise AdapterError(
            f"the adapter in {folder} was trained with {len(manifest.kept_ids)} kept tokens, "
            f"the base given keeps {len(base.vocabulary.kept)} others; load a fresh base"
        )
    try:
        if manifest.values is None:
            base.use_values(False)
        elif manifest.adapter.method == "full":
            attach_values(base.model, manifest.values)
        elif load_values(base.model, folder) is None:
            raise AdapterError(f"{folder} holds no values.safetensors; the adapter is incomplete")
        if manifest.adapter.method == "full":
            state = load_file(folder / _WEIGHTS)
            missing, unexpected = base.model.load_state_dict(state, strict=False)
            if unexpected or set(missing) - {"lm_head.weight"}:
                raise AdapterError(f"{folder / _WEIGHTS} does not fit the model {base.name}")
        else:
            from peft import PeftModel

            if (folder / _BIAS).is_file():
                bias = load_file(folder / _BIAS)["bias"]
                base.model.get_output_embeddings().bias = torch.nn.Parameter(bias)
            with quiet_peft():
                base.model = PeftModel.from_pretrained(base.model, folder, is_trainable=False)
    except (SafetensorError, RuntimeError, KeyError, ValueError, json.JSONDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise AdapterError(f"the adapter in {folder} could not be read: {reason}") from error
    base.model.eval()
    return base, manifest
