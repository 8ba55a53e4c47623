"""A small neural network on lags, trained on many series at once: the baseline that learns.

Knows one panel's values and nothing else. It sees each series in units of its own recent
level, so a system whose channels are rescaled is the same system to it; that replaces, exactly,
a random rescaling of the training series. torch is imported when it trains or forecasts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loracast.errors import ConfigError, DataError, StorageError
from loracast.evaluation._log_growth import log_bounds
from loracast.evaluation._prepare import BaselineForecast, prepare, require_positive

if TYPE_CHECKING:
    import torch

__all__ = ["GlobalMLP"]

LAGS = 24
WIDTH = 512
DEPTH = 3
ROLLOUT_STEPS = 4
BATCH_SIZE = 256
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-4
WARMUP_STEPS = 50
CLIP_NORM = 1.0
# About 75 s of two otherwise idle x86 cores (measured: 0.05 CPU seconds a step).
DEFAULT_STEPS = 2500
FORMAT = "loracast-global-mlp-1"


class GlobalMLP:
    """Next log change from the last 24 logs, levels and log changes of all channels.

    Three hidden layers of 512; trained on the mean absolute error of the logs over 4 steps of
    its own rollout, with AdamW and a cosine schedule. The same seed, data and thread count give
    the same network.

    Args:
        steps: optimiser steps, each on 256 windows.
        seed: of the first weights and the order of the windows.
    """

    name = "global_mlp"

    def __init__(self, *, steps: int = DEFAULT_STEPS, seed: int = 0) -> None:
        if steps < 1:
            raise ConfigError(f"got {steps} training steps for global_mlp; expected at least 1")
        self.steps = steps
        self.seed = seed
        self.train_seconds = 0.0
        self.n_channels = 0
        self.change_scale = 1.0
        self.n_filled = 0
        self._net: torch.nn.Sequential | None = None

    @property
    def n_parameters(self) -> int:
        """Number of trained weights; 0 before `fit`."""
        return 0 if self._net is None else sum(p.numel() for p in self._net.parameters())

    def fit(
        self,
        train_values: Sequence[np.ndarray] | np.ndarray,
        *,
        on_step: Callable[[int, int, float], None] | None = None,
    ) -> GlobalMLP:
        """Train on series of any lengths.

        Args:
            train_values: N arrays (T_n, C) of positive values, or one array (N, T, C); missing
                values are interpolated. Series shorter than 28 steps are refused.
            on_step: called after every step with (steps done, steps in all, loss).

        Returns:
            Itself, with `train_seconds` set to the CPU seconds it took.

        Raises:
            DataError: no series, too short ones, or values that are not positive.
        """
        import torch

        started = time.process_time()
        window = LAGS + ROLLOUT_STEPS
        prepared = prepare(list(train_values), 1, window, f"training {self.name}")
        require_positive(prepared.contexts, self.name)
        self.n_channels, self.n_filled = prepared.n_channels, prepared.n_filled
        logs = [np.log(values) for values in prepared.contexts]
        changes = np.concatenate([np.diff(x, axis=0) for x in logs])
        self.change_scale = float(np.sqrt((changes**2).mean())) or 1.0
        flat = torch.from_numpy(np.concatenate(logs)).float()
        ends = np.cumsum([len(x) for x in logs])
        starts = torch.from_numpy(
            np.concatenate(
                [
                    np.arange(end - len(x), end - window + 1)
                    for x, end in zip(logs, ends, strict=True)
                ]
            )
        )
        self._net = self._build(self.seed)
        generator = torch.Generator().manual_seed(self.seed)
        optimiser = torch.optim.AdamW(
            self._net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        offsets = torch.arange(window)
        for step in range(self.steps):
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * self._schedule(step)
            draw = torch.randint(len(starts), (BATCH_SIZE,), generator=generator)
            batch = flat[starts[draw][:, None] + offsets]
            loss = self._rollout_loss(batch)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._net.parameters(), CLIP_NORM)
            optimiser.step()
            if on_step is not None:
                on_step(step + 1, self.steps, float(loss.detach()))
        self.train_seconds = time.process_time() - started
        return self

    def forecast(self, contexts: Sequence[np.ndarray], horizon: int) -> BaselineForecast:
        """Roll the network out after every context, of which it reads the last 24 steps.

        Args:
            contexts: N arrays (T_n, C) of positive values; missing ones are interpolated.
            horizon: H, steps to forecast.

        Returns:
            point (N, H, C), no samples, the CPU seconds without those of `fit`, and a note.

        Raises:
            ConfigError: not trained yet.
            DataError: contexts that are too short, not positive or of other channels.
        """
        import torch

        if self._net is None:
            raise ConfigError("global_mlp is not trained; call fit or load first")
        started = time.process_time()
        prepared = prepare(contexts, horizon, LAGS, self.name)
        require_positive(prepared.contexts, self.name)
        if prepared.n_channels != self.n_channels:
            raise DataError(
                f"got contexts of {prepared.n_channels} channels; "
                f"this global_mlp was trained on {self.n_channels}"
            )
        logs = [np.log(values) for values in prepared.contexts]
        bounds = np.stack([log_bounds(x) for x in logs])  # (N, 2, C)
        level = np.stack([x[-LAGS:].mean(axis=0) for x in logs])  # float32 sees small numbers only
        past = torch.from_numpy(np.stack([x[-LAGS:] for x in logs]) - level[:, None]).float()
        low, high = torch.from_numpy(bounds - level[:, None]).float().unbind(dim=1)
        out, held = [], torch.zeros(len(logs), dtype=torch.bool)
        with torch.no_grad():
            for _ in range(horizon):
                free = past[:, -1] + self._change(past)
                new = free.clamp(low, high)
                held |= (new != free).any(dim=1)
                past = torch.cat([past[:, 1:], new[:, None]], dim=1)
                out.append(new)
        log_point = torch.stack(out, dim=1).double().numpy() + level[:, None]
        note = f"trained {self.steps} steps in {self.train_seconds:.0f} CPU seconds"
        if bool(held.any()):
            note += f"; {int(held.sum())} of {len(logs)} forecasts ran away and were held"
        seconds = time.process_time() - started
        return BaselineForecast(np.exp(log_point), None, seconds, prepared.notes(note))

    def save(self, path: str | Path) -> Path:
        """Write weights as safetensors with the settings as JSON in its header, atomically.

        Args:
            path: the file to write, ending in .safetensors.

        Raises:
            ConfigError: not trained yet.
            StorageError: the file cannot be written.
        """
        from safetensors.torch import save

        if self._net is None:
            raise ConfigError("global_mlp is not trained; call fit before save")
        path = Path(path)
        header = {
            "format": FORMAT,
            "lags": LAGS,
            "width": WIDTH,
            "depth": DEPTH,
            "n_channels": self.n_channels,
            "change_scale": self.change_scale,
            "steps": self.steps,
            "seed": self.seed,
            "train_seconds": self.train_seconds,
        }
        state = {key: value.contiguous() for key, value in self._net.state_dict().items()}
        blob = save(state, metadata={"loracast": json.dumps(header)})
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            temporary.write_bytes(blob)
            temporary.replace(path)
        except OSError as problem:
            raise StorageError(f"{path}: cannot be written ({problem.strerror})") from problem
        finally:
            temporary.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: str | Path) -> GlobalMLP:
        """Read what `save` wrote.

        Raises:
            StorageError: the file is missing, broken, or not of this kind.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(path)
        if not path.is_file():
            raise StorageError(f"{path}: no such file; expected a saved global_mlp")
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {}).get("loracast", "{}"))
                state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            shape = {"format": FORMAT, "lags": LAGS, "width": WIDTH, "depth": DEPTH}
            if any(header.get(key) != value for key, value in shape.items()):
                raise StorageError(f"{path}: is no global_mlp of this version ({FORMAT})")
            out = cls(steps=header["steps"], seed=header["seed"])
            out.n_channels = header["n_channels"]
            out.change_scale = header["change_scale"]
            out.train_seconds = header["train_seconds"]
            out._net = out._build(0)
            out._net.load_state_dict(state)
        except (OSError, SafetensorError, json.JSONDecodeError, KeyError, RuntimeError) as problem:
            text = " ".join(str(problem).split())[:200]
            raise StorageError(f"{path}: is no readable global_mlp ({text})") from problem
        return out

    def _build(self, seed: int) -> torch.nn.Sequential:
        import torch

        width_in = self.n_channels * (3 * LAGS - 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers: list[Any] = []
            for _ in range(DEPTH):
                layers += [torch.nn.Linear(width_in, WIDTH), torch.nn.SiLU()]
                width_in = WIDTH
            return torch.nn.Sequential(*layers, torch.nn.Linear(WIDTH, self.n_channels))

    def _schedule(self, step: int) -> float:
        warmup = min(1.0, (step + 1) / WARMUP_STEPS)
        return warmup * 0.5 * (1.0 + float(np.cos(np.pi * step / self.steps)))

    def _change(self, past: torch.Tensor) -> torch.Tensor:
        """Next log change (B, C) after the logs (B, LAGS, C)."""
        import torch

        assert self._net is not None
        centred = past - past.mean(dim=1, keepdim=True)
        levels = centred.clamp(-8.0, 4.0).exp()  # keeps the inputs of order 1 to 50
        changes = (past[:, 1:] - past[:, :-1]) / self.change_scale
        features = torch.cat([x.flatten(1) for x in (centred, levels, changes)], dim=1)
        out: torch.Tensor = self._net(features) * self.change_scale
        return out

    def _rollout_loss(self, batch: torch.Tensor) -> torch.Tensor:
        """Mean absolute error of the logs, in typical changes, over the rolled-out steps."""
        import torch

        past, losses = batch[:, :LAGS], []
        for step in range(ROLLOUT_STEPS):
            new = past[:, -1] + self._change(past)
            losses.append((new - batch[:, LAGS + step]).abs().mean())
            past = torch.cat([past[:, 1:], new[:, None]], dim=1)
        return torch.stack(losses).mean() / self.change_scale
