"""LoRA through PEFT: attach, save, load, merge."""

from __future__ import annotations

from loracast.adapters._folder import adapter_folder, copy_adapter
from loracast.adapters._integrity import read_sealed, write_sealed
from loracast.adapters._lora import AdapterConfig, attach_lora, lora_parameters
from loracast.adapters._merge import merge_adapter
from loracast.adapters._store import (
    AdapterManifest,
    check_adapter,
    load_adapter,
    read_manifest,
    save_adapter,
)

__all__ = [
    "AdapterConfig",
    "AdapterManifest",
    "adapter_folder",
    "attach_lora",
    "check_adapter",
    "copy_adapter",
    "load_adapter",
    "lora_parameters",
    "merge_adapter",
    "read_manifest",
    "read_sealed",
    "save_adapter",
    "write_sealed",
]
