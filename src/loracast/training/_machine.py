"""On what a result was computed, and in which precision: two things that decide its last digits.

Knows the machine and torch, no models. Only one variable of the environment is read,
`LORACAST_PRECISION`, and it decides nothing but what 'auto' means.
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import TypedDict

import torch

from loracast.errors import ConfigError

__all__ = ["PRECISION_VARIABLE", "Machine", "bf16_pays", "machine_facts", "resolved_precision"]

PRECISION_VARIABLE = "LORACAST_PRECISION"
PRECISIONS = ("fp32", "bf16")


class Machine(TypedDict):
    """What a result names.

    Args:
        system: 'Linux', 'Darwin', ...
        architecture: 'x86_64', 'arm64', ...
        cpu: the processor's name as the system tells it; '' where it does not.
        accelerator: name of the device that torch would compute on, '' for the processor.
        capability: the vector instructions that torch takes, in its own words ('AVX2', ...).
        matrix_units: whether torch found matrix units for bfloat16 in the processor.
        threads: of torch, within one operation.
    """

    system: str
    architecture: str
    cpu: str
    accelerator: str
    capability: str
    matrix_units: bool
    threads: int


def bf16_pays(device: torch.device) -> bool:
    """Whether bfloat16 products are faster than float32 here: CUDA with bf16, or CPU with AMX.

    Measured on 2 AMX cores: 1,500 to 1,900 GFLOP/s in bf16 beside 160 to 270 in float32. No
    measurement of ARM's matrix units: float32 is taken there.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and _has_amx()


def _has_amx() -> bool:
    """Torch has no public name for the question; a build without the private one has no AMX."""
    ask = getattr(getattr(torch, "cpu", None), "_is_amx_tile_supported", None)
    try:
        return bool(ask is not None and ask())
    except (RuntimeError, NotImplementedError):
        return False


def resolved_precision(wanted: str, device: torch.device) -> str:
    """'fp32' or 'bf16': what is computed in where `wanted` was asked for.

    Args:
        wanted: 'fp32', 'bf16', or 'auto': what `LORACAST_PRECISION` says, or without it what is
            faster on the device.
        device: of the model.

    Raises:
        ConfigError: `LORACAST_PRECISION` is neither.
    """
    if wanted != "auto":
        return wanted
    forced = os.environ.get(PRECISION_VARIABLE, "")
    if forced:
        if forced not in PRECISIONS:
            raise ConfigError(
                f"got {PRECISION_VARIABLE}={forced!r} in the environment; expected "
                f"{' or '.join(PRECISIONS)}, or nothing"
            )
        return forced
    return "bf16" if bf16_pays(device) else "fp32"


def machine_facts() -> Machine:
    """Of this process, now."""
    backend = getattr(torch.backends, "cpu", None)
    ask = getattr(backend, "get_cpu_capability", None)
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        cpu=_cpu_name(),
        accelerator=torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        capability=str(ask()) if ask is not None else "",
        matrix_units=_has_amx(),
        threads=torch.get_num_threads(),
    )


def _cpu_name() -> str:
    """Every system tells it in another place; nothing here may fail."""
    if platform.system() == "Linux":
        try:
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        told = dict(line.partition(":")[::2] for line in reversed(lines) if ":" in line)
        fields = {name.strip(): value.strip() for name, value in told.items()}
        named = fields.get("model name") or fields.get("Model")
        if named:
            return named
        if "CPU part" in fields:  # ARM names its cores by number
            return f"implementer {fields.get('CPU implementer', '?')} part {fields['CPU part']}"
    elif platform.system() == "Darwin":
        try:
            asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            found = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True)
            return found.stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass
    return platform.processor()
