"""Checkpoints that are whole or absent: written aside, synced, renamed, marked complete.

Knows tensors and JSON, not what they belong to. No pickle: optimiser state, random state and
weights are safetensors, the rest is JSON.
"""

from __future__ import annotations

import json
import shutil
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from loracast.errors import DamageWarning, StorageError
from loracast.files import sha256_of, sha256_of_file, whole_folder, write_whole

__all__ = [
    "Checkpoint",
    "latest_checkpoint",
    "newest_step",
    "optimizer_from",
    "optimizer_to",
    "write_checkpoint",
]

_MARK = "COMPLETE.json"
_NEWEST = "NEWEST"  # the step of the last checkpoint written, so that its loss is seen


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


def _seal(mark: dict[str, Any]) -> str:
    """Of what the mark says, so that a mark that was changed is seen too."""
    return sha256_of(json.dumps([mark["step"], mark["sha256"]], sort_keys=True))


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Add a checkpoint to a folder; a reader sees it whole or not at all.

    Args:
        folder: of this run's checkpoints.
        checkpoint: what to keep; the one before it stays too.

    Raises:
        StorageError: the disk is full or the folder cannot be written; older checkpoints stay.
    """
    final = folder / f"step-{checkpoint.step:08d}"
    try:
        with whole_folder(final) as work:
            for name, group in checkpoint.tensors.items():
                plain = {k: v.detach().contiguous() for k, v in group.items()}
                save_file(plain, work / f"{name}.safetensors")
            (work / "facts.json").write_text(json.dumps(checkpoint.facts))
            digests = {f.name: sha256_of_file(f) for f in sorted(work.iterdir())}
            mark = {"step": checkpoint.step, "sha256": digests}
            (work / _MARK).write_text(json.dumps(mark | {"seal": _seal(mark)}))
        write_whole(folder / _NEWEST, f"{checkpoint.step}\n")
    except (OSError, SafetensorError, StorageError) as error:
        raise StorageError(
            f"checkpoint at step {checkpoint.step} could not be written to {folder} ({error}); "
            "free some space and run the same command again: earlier checkpoints are whole"
        ) from error
    for old in sorted(folder.glob("step-*"))[:-2]:
        shutil.rmtree(old, ignore_errors=True)


def newest_step(folder: Path) -> int:
    """The step of the newest checkpoint that was ever written here, lost or not; 0 for none."""
    told = [int(p.name[5:]) for p in folder.glob("step-*") if p.name[5:].isdigit()]
    with suppress(OSError, ValueError):  # written by an earlier version, or lost with the rest
        told.append(int((folder / _NEWEST).read_text()))
    return max(told, default=0)


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint whose every file is as it was written, or None.

    Warns:
        DamageWarning: of every newer one that is damaged, and what is damaged in it.
    """
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            return _whole(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:200]
            warnings.warn(
                f"the checkpoint {path} is damaged and passed over: {reason}",
                DamageWarning,
                stacklevel=2,
            )
    return None


def _whole(path: Path) -> Checkpoint:
    """One checkpoint.

    Raises:
        OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError: it is damaged.
    """
    mark = json.loads((path / _MARK).read_text())
    # Marks of earlier versions had no seal.
    if path.name != f"step-{mark['step']:08d}" or mark.get("seal", _seal(mark)) != _seal(mark):
        raise ValueError(f"{_MARK} was changed")
    names = {f.name for f in path.iterdir() if f.suffix in (".json", ".safetensors")} - {_MARK}
    if names != set(mark["sha256"]):
        raise ValueError(f"it holds {sorted(names)}, expected {sorted(mark['sha256'])}")
    for name, digest in mark["sha256"].items():
        if sha256_of_file(path / name) != digest:
            raise ValueError(f"{name} is not what was written")
    return Checkpoint(
        step=int(mark["step"]),
        tensors={
            name.removesuffix(".safetensors"): load_file(path / name)
            for name in mark["sha256"]
            if name.endswith(".safetensors")
        },
        facts=json.loads((path / "facts.json").read_text()),
    )


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
