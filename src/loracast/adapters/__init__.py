"""LoRA through PEFT: attach, save, load, merge."""

from loracast.adapters._integrity import read_sealed, write_sealed
from loracast.adapters._lora import AdapterConfig, attach_lora, head_bias, lora_parameters
from loracast.adapters._merge import merge_adapter
from loracast.adapters._store import (
    AdapterManifest,
    check_adapter,
    load_adapter,
    read_manifest,
    save_adapter,
)
from loracast.adapters._sync import sync_files, sync_folder

__all__ = [
    "AdapterConfig",
    "AdapterManifest",
    "attach_lora",
    "check_adapter",
    "head_bias",
    "load_adapter",
    "lora_parameters",
    "merge_adapter",
    "read_manifest",
    "read_sealed",
    "save_adapter",
    "sync_files",
    "sync_folder",
    "write_sealed",
]
