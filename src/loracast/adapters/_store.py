"""Save an adapter as a standard PEFT folder plus one small file of ours, and load it safely.

Knows folders; what makes one whole is in `_integrity`. Why ours: PEFT records neither which tokens
a pruned base kept nor which weights it was trained on, and loads onto the wrong base without a
word.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import save_file

from loracast.adapters._folder import MANIFEST, new_adapter
from loracast.adapters._integrity import (
    check_digests,
    check_peft_config,
    checked_tensors,
    file_sha256s,
    parse_finite,
    text_sha256,
)
from loracast.adapters._lora import AdapterConfig, head_bias, lora_shapes, peft_config, quiet_peft
from loracast.backbone import (
    Backbone,
    NumericHeadShape,
    attach_numeric_head,
    load_backbone,
    load_numeric_head,
    numeric_head_of,
    save_numeric_head,
)
from loracast.errors import AdapterError, LoracastError, faults_in_one_line

__all__ = [
    "AdapterManifest",
    "check_adapter",
    "load_adapter",
    "read_manifest",
    "save_adapter",
]

FORMAT_VERSION = 2  # 1 had no digests; it is read with the other checks
_BIAS = "head_bias.safetensors"
_WEIGHTS = "adapter_model.safetensors"
_PEFT = "adapter_config.json"

# Widths are measured as factors of 0.2 to 10; a thousandfold one is damage, not a measurement.
Factor = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]


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
        values: size of the numeric head, None where numbers are text.
        spread: factors (H,) by which sampled numbers are drawn apart, measured on held-out series.
        training: free facts (data hash, FLOPs, seed), for people.
        files: sha256 by name of every other file of the folder, filled in by `save_adapter`.
        sha256: of this manifest without this field, filled in by `save_adapter`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    model: str
    base_sha256: str
    kept_ids: tuple[Annotated[int, Field(ge=0)], ...]
    adapter: AdapterConfig
    codec: dict[str, Any]
    context_steps: int = Field(ge=1)
    n_channels: int = Field(ge=1)
    random_start: int | None = None
    values: NumericHeadShape | None = None
    spread: tuple[Factor, ...] = ()
    training: dict[str, Any] = {}
    files: dict[str, str] = {}
    sha256: str = ""


def save_adapter(
    model: Any,
    folder: Path,
    manifest: AdapterManifest,
    extra_files: dict[str, Path] | None = None,
) -> AdapterManifest:
    """Write the adapter atomically: a finished folder appears, or none.

    Args:
        model: the PEFT model (or the plain model, fully trained).
        folder: where; an existing adapter there is replaced.
        manifest: what belongs to it.
        extra_files: further files to put beside it, by name.

    Returns:
        The manifest as written, with the digests of all files.

    Raises:
        StorageError: the folder cannot be written, or holds something else.
    """
    with new_adapter(folder) as work:
        if manifest.adapter.method == "full":
            state = {k: v.detach().contiguous() for k, v in model.state_dict().items()}
            if model.config.tie_word_embeddings:
                state.pop("lm_head.weight", None)
            save_file(state, work / _WEIGHTS)
        else:
            model.save_pretrained(work, save_embedding_layers=False)
            (work / "README.md").unlink(missing_ok=True)
            interface = numeric_head_of(model)
            if interface is not None:
                save_numeric_head(interface, work)
            bias = head_bias(model)
            if bias is not None:
                save_file({"bias": bias.detach().contiguous()}, work / _BIAS)
        for name, source in (extra_files or {}).items():
            shutil.copyfile(source, work / name)
        manifest = _sealed(manifest, file_sha256s(work))
        (work / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n")
    return manifest


def _sealed(manifest: AdapterManifest, files: dict[str, str]) -> AdapterManifest:
    """With the digests of its files, and its own over all that it says."""
    manifest = manifest.model_copy(update={"files": files, "format_version": FORMAT_VERSION})
    said = parse_finite(manifest.model_dump_json(exclude={"sha256"}))
    return manifest.model_copy(update={"sha256": text_sha256(said)})


def read_manifest(folder: Path) -> AdapterManifest:
    """Our file of an adapter folder.

    Raises:
        AdapterError: missing, broken, changed after it was written, or of a newer format.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise AdapterError(
            f"{folder} holds no {MANIFEST}; expected a folder written by loracast fit or study"
        )
    try:
        said = parse_finite(path.read_text(encoding="utf-8"))
        version = said.get("format_version", 1)
        if version not in (1, FORMAT_VERSION):
            raise AdapterError(
                f"{path} has format {version}; this version reads 1 to {FORMAT_VERSION}: "
                "update loracast"
            )
        manifest = AdapterManifest.model_validate(said | {"format_version": version})
    except (OSError, ValueError, ValidationError) as error:
        raise AdapterError(
            f"{path} is not a valid adapter manifest: {faults_in_one_line(error)}"
        ) from error
    seal = said.pop("sha256", "")
    if (version >= 2 or seal or manifest.files) and text_sha256(said) != seal:
        raise AdapterError(
            f"{path} is not what was written: its own sha256 does not match; it was damaged or "
            "edited: copy the whole folder again, or train the adapter anew"
        )
    return manifest


def check_adapter(folder: Path) -> AdapterManifest:
    """The manifest of a folder in which every file is as it was written.

    Raises:
        AdapterError: not an adapter, or one that was damaged or edited.
    """
    manifest = read_manifest(folder)
    check_digests(Path(folder), manifest.files)
    if not (Path(folder) / _WEIGHTS).is_file():
        raise AdapterError(f"{folder} holds no {_WEIGHTS}; the adapter is incomplete")
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
        AdapterError: not an adapter, one that was damaged or edited, or trained on other weights.
        ModelError: the base cannot be loaded.
    """
    folder = Path(folder)
    manifest = check_adapter(folder)
    if base is None:
        base = load_backbone(model or manifest.model, random_start=manifest.random_start)
    if base.base_sha256 != manifest.base_sha256:
        raise AdapterError(
            f"the adapter in {folder} was trained on base {manifest.base_sha256[:12]} "
            f"({manifest.model}), but the model given is {base.base_sha256[:12]} ({base.name}); "
            "load it on its own base (--model)"
        )
    try:
        _put_on(base, folder, manifest)
    except AdapterError:
        raise
    except (LoracastError, SafetensorError, OSError, RuntimeError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise AdapterError(f"the adapter in {folder} could not be read: {reason}") from error
    base.model.eval()
    return base, manifest


def _put_on(base: Backbone, folder: Path, manifest: AdapterManifest) -> None:
    """Everything that was trained, onto a base without an adapter."""
    if not base.vocabulary.pruned:
        base.prune(manifest.kept_ids)
    if base.vocabulary.kept != manifest.kept_ids:
        raise AdapterError(
            f"the adapter in {folder} was trained with {len(manifest.kept_ids)} kept tokens, "
            f"the base given keeps {len(base.vocabulary.kept)} others; load a fresh base"
        )
    model, full = base.model, manifest.adapter.method == "full"
    if manifest.values is None:
        base.use_numeric_head(False)
    elif full:
        attach_numeric_head(model, manifest.values)
    else:
        _put_values(model, folder, manifest.values)
    if full:
        shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
        if model.config.tie_word_embeddings:
            shapes.pop("lm_head.weight", None)
        model.load_state_dict(checked_tensors(folder / _WEIGHTS, shapes), strict=False)
        return
    from peft import PeftModel

    check_peft_config(folder / _PEFT, peft_config(manifest.adapter, model).to_dict())
    checked_tensors(folder / _WEIGHTS, lora_shapes(manifest.adapter, model))
    if manifest.adapter.head_bias:
        rows = {"bias": (len(manifest.kept_ids),)}
        bias = checked_tensors(folder / _BIAS, rows)["bias"]
        model.get_output_embeddings().bias = torch.nn.Parameter(bias)
    with quiet_peft():
        base.model = PeftModel.from_pretrained(model, folder, is_trainable=False)


def _put_values(model: Any, folder: Path, shape: NumericHeadShape) -> None:
    """The numeric head that was trained with the adapter."""
    interface = load_numeric_head(model, folder)
    if interface is None:
        raise AdapterError(f"{folder} holds no values.safetensors; the adapter is incomplete")
    if interface.shape != shape:
        raise AdapterError(
            f"{folder / 'values.safetensors'} is of the size {interface.shape}, but the "
            f"adapter's manifest says {shape}; one of the two was changed"
        )
    if not all(torch.isfinite(weight).all() for weight in interface.state_dict().values()):
        raise AdapterError(
            f"{folder / 'values.safetensors'} holds values that are not finite; it was damaged"
        )
