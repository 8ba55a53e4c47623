"""Checkpoints that are whole or absent: written aside, synced, renamed, marked complete.

Knows tensors and JSON, not what they belong to. No pickle: optimiser state, random state and
weights are safetensors, the rest is JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from loracast.errors import StorageError

__all__ = ["Checkpoint", "latest_checkpoint", "optimizer_from", "optimizer_to", "write_checkpoint"]

_MARK = "COMPLETE.json"


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to go on as if nothing had happened.

    Args:
        step: optimiser steps done.
        tensors: named groups of tensors ('weights', 'best', 'optimizer', 'random').
        facts: JSON facts (history, best step and loss, configuration fingerprint).
    """

    step: int
    tensors: dict[str, dict[str, torch.Tensor]]
    facts: dict[str, Any]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int = 2) -> None:
    """Add a checkpoint to a folder; a reader sees it whole or not at all.

    Args:
        folder: of this run's checkpoints.
        checkpoint: what to keep.
        keep: how many of the newest stay.

    Raises:
        StorageError: the disk is full or the folder cannot be written; older checkpoints stay.
    """
    final = folder / f"step-{checkpoint.step:08d}"
    work = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".step.", suffix=".tmp", dir=folder))
        for name, group in checkpoint.tensors.items():
            plain = {k: v.detach().contiguous() for k, v in group.items()}
            save_file(plain, work / f"{name}.safetensors")
        (work / "facts.json").write_text(json.dumps(checkpoint.facts))
        files = sorted(work.iterdir())
        mark = {"step": checkpoint.step, "sha256": {f.name: _digest(f) for f in files}}
        (work / _MARK).write_text(json.dumps(mark))
        for file in [*files, work / _MARK]:
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        shutil.rmtree(final, ignore_errors=True)
        work.rename(final)
        parent = os.open(folder, os.O_RDONLY)
        os.fsync(parent)
        os.close(parent)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"checkpoint at step {checkpoint.step} could not be written to {folder} ({error}); "
            "free some space and run the same command again: earlier checkpoints are whole"
        ) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
    for old in sorted(folder.glob("step-*"))[:-keep]:
        shutil.rmtree(old, ignore_errors=True)


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint whose every file is as it was written, or None."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            mark = json.loads((path / _MARK).read_text())
            if any(_digest(path / name) != digest for name, digest in mark["sha256"].items()):
                continue
            return Checkpoint(
                step=int(mark["step"]),
                tensors={
                    name.removesuffix(".safetensors"): load_file(path / name)
                    for name in mark["sha256"]
                    if name.endswith(".safetensors")
                },
                facts=json.loads((path / "facts.json").read_text()),
            )
        except (OSError, ValueError, KeyError, SafetensorError):
            continue
    return None


def optimizer_to(optimizers: list[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    """Optimiser states as flat named tensors."""
    flat: dict[str, torch.Tensor] = {}
    for i, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                flat[f"{i}.{index}.{name}"] = torch.as_tensor(value)
    return flat


def optimizer_from(optimizers: list[torch.optim.Optimizer], flat: dict[str, torch.Tensor]) -> None:
    """Put flat named tensors back into optimisers built in the same way."""
    for i, optimizer in enumerate(optimizers):
        whole = optimizer.state_dict()
        whole["state"] = {}
        for key, value in flat.items():
            which, index, name = key.split(".", 2)
            if int(which) == i:
                whole["state"].setdefault(int(index), {})[name] = value
        optimizer.load_state_dict(whole)
