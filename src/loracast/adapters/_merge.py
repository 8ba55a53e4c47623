"""Fold an adapter into its base and write plain Hugging Face weights, full vocabulary."""

from __future__ import annotations

from pathlib import Path

import torch

from loracast.adapters._store import load_adapter, read_manifest
from loracast.backbone import load_backbone, numeric_head_of, save_numeric_head
from loracast.errors import AdapterError, StorageError

__all__ = ["merge_adapter"]


def merge_adapter(folder: Path, out: Path, *, model: str | None = None) -> None:
    """Write base + adapter as one model folder that any Hugging Face tool can load.

    A numeric head is written beside them, as the embedded base has it.
    Only layers inside the transformer differ from the base; rows of the embedding that pruning
    cut away come back from the base unchanged.

    Args:
        folder: of the adapter.
        out: a new folder.
        model: where the base is now, if it moved.

    Raises:
        AdapterError: no such adapter, or one with a trained head bias, which a tied plain
            checkpoint cannot hold.
        StorageError: `out` exists.
    """
    manifest = read_manifest(folder)
    if manifest.adapter.head_bias:
        raise AdapterError(
            f"the adapter in {folder} trains a head bias over {len(manifest.kept_ids)} tokens; "
            "a plain checkpoint cannot hold it: keep it as an adapter"
        )
    if Path(out).exists():
        raise StorageError(f"{out} exists; choose a new folder for the merged model")
    adapted, _ = load_adapter(folder, model=model)
    net = adapted.model
    if manifest.adapter.method == "lora":
        net = net.merge_and_unload()
    full = load_backbone(model or manifest.model, random_start=manifest.random_start)
    merged = net.state_dict()
    with torch.no_grad():
        for name, weight in full.model.state_dict().items():
            source = merged.get(name)
            if source is None:
                continue
            if source.shape == weight.shape:
                weight.copy_(source)
            else:
                weight[torch.tensor(manifest.kept_ids)] = source
    interface = numeric_head_of(net)
    full.use_numeric_head(False)  # plain files hold the language model alone
    full.model.save_pretrained(out)
    if interface is not None:
        save_numeric_head(interface, out)
    full.tokenizer.save_pretrained(out)
