"""Is an adapter's folder what was written? Digests, PEFT's configuration, names and shapes.

Knows files and expectations, no models. Why: PEFT loads whatever it finds. A missing tensor stays
at its initial value, another alpha scales the update anew, and neither says a word.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from loracast.errors import AdapterError, DamageWarning
from loracast.files import sha256_of, sha256_of_file, write_whole

__all__ = [
    "check_digests",
    "check_peft_config",
    "checked_tensors",
    "file_sha256s",
    "parse_finite",
    "read_sealed",
    "text_sha256",
    "write_sealed",
]

# What PEFT writes about where and how an adapter was made, not about what it computes.
_CIRCUMSTANCES = ("auto_mapping", "base_model_name_or_path", "inference_mode", "revision")
_REMEDY = "copy the whole folder again, or train the adapter anew"


def file_sha256s(folder: Path) -> dict[str, str]:
    """Name -> digest of every file of a folder."""
    return {path.name: sha256_of_file(path) for path in sorted(folder.iterdir()) if path.is_file()}


def text_sha256(document: Mapping[str, Any]) -> str:
    """Of a JSON document, whatever its layout and the order of its names."""
    return sha256_of(json.dumps(document, sort_keys=True))


def parse_finite(text: str) -> dict[str, Any]:
    """A JSON object in which every number is finite.

    Raises:
        ValueError: no JSON object, or one with NaN or Infinity.
    """

    def refuse(name: str) -> float:
        raise ValueError(f"got the number {name}; expected finite numbers")

    found = json.loads(text, parse_constant=refuse)
    if not isinstance(found, dict):
        raise ValueError(f"got a JSON {type(found).__name__}; expected an object")
    return found


def write_sealed(path: Path, facts: Mapping[str, Any]) -> None:
    """JSON facts with a digest of themselves; the file appears whole, or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    plain = json.loads(json.dumps(facts, allow_nan=False))
    write_whole(path, json.dumps(plain | {"sha256": text_sha256(plain)}))


def read_sealed(path: Path) -> dict[str, Any] | None:
    """What `write_sealed` wrote; None where there is no such file or it is damaged.

    Warns:
        DamageWarning: it is damaged, and what it held has to be made again.
    """
    try:
        said = parse_finite(path.read_text(encoding="utf-8"))
        if said.pop("sha256", "") != text_sha256(said):
            raise ValueError("its own sha256 does not match")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        warnings.warn(f"{path} is damaged and made again: {error}", DamageWarning, stacklevel=3)
        return None
    return said


def check_digests(folder: Path, digests: Mapping[str, str]) -> None:
    """Every file is as it was when the adapter was written; further files do not matter.

    Args:
        folder: of the adapter.
        digests: name -> sha256.

    Raises:
        AdapterError: a file that is missing, unreadable or changed.
    """
    for name, expected in digests.items():
        path = folder / Path(name).name
        try:
            found = sha256_of_file(path)
        except FileNotFoundError:
            raise AdapterError(
                f"{folder} holds no {name}, which was written with the adapter: {_REMEDY}"
            ) from None
        except OSError as error:
            raise AdapterError(f"{path} cannot be read: {error.strerror or error}") from error
        if found != expected:
            raise AdapterError(
                f"{path} is not what was written: got sha256 {found[:12]}, expected "
                f"{expected[:12]}; it was damaged or edited: {_REMEDY}"
            )


def _plain(value: Any) -> Any:
    """A field of PEFT's configuration as its JSON file has it, sets in order."""
    if isinstance(value, set | tuple | list):
        return sorted(map(str, value))
    return value.value if hasattr(value, "value") else value


def check_peft_config(path: Path, expected: Mapping[str, Any]) -> None:
    """PEFT's own file says what our manifest says, in every field that PEFT acts on.

    Args:
        path: of `adapter_config.json`.
        expected: fields of the configuration that the manifest stands for.

    Raises:
        AdapterError: missing, unreadable, or another configuration.
    """
    try:
        found = parse_finite(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AdapterError(f"{path.parent} holds no {path.name}: {_REMEDY}") from None
    except (OSError, ValueError) as error:
        raise AdapterError(f"{path} is not readable: {error}") from error
    for name, value in expected.items():
        if name in _CIRCUMSTANCES or name == "peft_version":
            continue
        # Another version of PEFT may not write a field that this one has, and the reverse.
        required = name in ("peft_type", "r", "lora_alpha", "target_modules", "use_rslora")
        if name not in found and not required:
            continue
        got, wanted = _plain(found.get(name)), _plain(value)
        if got != wanted:
            raise AdapterError(
                f"{path} says {name}={got!r}, but the adapter's manifest stands for {wanted!r}; "
                f"one of the two was changed: {_REMEDY}"
            )


def checked_tensors(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """The tensors of a file, exactly those expected, all finite.

    Args:
        path: of a safetensors file.
        shapes: name -> shape.

    Raises:
        AdapterError: missing, unexpected or misshapen tensors, or a value that is not finite.
        SafetensorError, OSError: the file cannot be read.
    """
    tensors = load_file(path)
    for names, word in (
        (shapes.keys() - tensors.keys(), "lacks"),
        (tensors.keys() - shapes.keys(), "has, beyond what its manifest stands for,"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise AdapterError(f"{path} {word} the tensor {min(names)}{more}: {_REMEDY}")
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != tuple(shapes[name]):
            raise AdapterError(
                f"{path}: {name} has the shape {tuple(tensor.shape)}, expected "
                f"{tuple(shapes[name])}: {_REMEDY}"
            )
        if not torch.isfinite(tensor).all():
            raise AdapterError(f"{path}: {name} holds values that are not finite: {_REMEDY}")
    return tensors
