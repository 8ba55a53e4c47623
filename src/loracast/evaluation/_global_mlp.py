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
from loracast.evaluation._method import Group, Method, Needs
from loracast.evaluation._prepare import BaselineForecast, prepare, require_positive
from loracast.files import write_whole

if TYPE_CHECKING:
    import torch

__all__ = ["GLOBAL_MLP", "GlobalMLP"]

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
    its own rollout, with AdamW and a cosine schedule. Made by `fit` or `load`.

    Args:
        net: the trained network.
        n_channels: C it was trained on.
        change_scale: root mean square of the log changes it was trained on.
        steps: optimiser steps it was trained for.
        seed: seed of its training.
        train_seconds: CPU seconds its training took.
    """

    name = "global_mlp"

    def __init__(
        self,
        net: torch.nn.Sequential,
        *,
        n_channels: int,
        change_scale: float,
        steps: int,
        seed: int,
        train_seconds: float = 0.0,
    ) -> None:
        self.net = net
        self.n_channels = n_channels
        self.change_scale = change_scale
        self.steps = steps
        self.seed = seed
        self.train_seconds = train_seconds

    @property
    def n_parameters(self) -> int:
        """Number of trained weights."""
        return sum(p.numel() for p in self.net.parameters())

    @classmethod
    def fit(
        cls,
        train_values: Sequence[np.ndarray] | np.ndarray,
        *,
        steps: int = DEFAULT_STEPS,
        seed: int = 0,
        on_step: Callable[[int, int, float], None] | None = None,
    ) -> GlobalMLP:
        """Train on series of any lengths; same seed, data and thread count, same network.

        Args:
            train_values: N arrays (T_n, C) of positive values, or one array (N, T, C); missing
                values are interpolated. Series shorter than 28 steps are refused.
            steps: optimiser steps, each on 256 windows.
            seed: of the first weights and the order of the windows.
            on_step: called after every step with (steps done, steps in all, loss).

        Returns:
            The trained network, with `train_seconds` set to the CPU seconds it took.

        Raises:
            ConfigError: steps below 1.
            DataError: no series, too short ones, or values that are not positive.
        """
        import torch

        if steps < 1:
            raise ConfigError(f"got {steps} training steps for {cls.name}; expected at least 1")
        started = time.process_time()
        window = LAGS + ROLLOUT_STEPS
        prepared = prepare(list(train_values), 1, window, f"training {cls.name}")
        require_positive(prepared.contexts, cls.name)
        logs = [np.log(values) for values in prepared.contexts]
        changes = np.concatenate([np.diff(x, axis=0) for x in logs])
        out = cls(
            _build(prepared.n_channels, seed),
            n_channels=prepared.n_channels,
            change_scale=float(np.sqrt((changes**2).mean())) or 1.0,
            steps=steps,
            seed=seed,
        )
        level = np.concatenate([x - x.mean(axis=0) for x in logs])  # small numbers for float32
        flat = torch.from_numpy(level).float()
        ends = np.cumsum([len(x) for x in logs])
        starts = torch.from_numpy(
            np.concatenate(
                [
                    np.arange(end - len(x), end - window + 1)
                    for x, end in zip(logs, ends, strict=True)
                ]
            )
        )
        generator = torch.Generator().manual_seed(seed)
        optimiser = torch.optim.AdamW(
            out.net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        offsets = torch.arange(window)
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * _schedule(step, steps)
            draw = torch.randint(len(starts), (BATCH_SIZE,), generator=generator)
            loss = out._rollout_loss(flat[starts[draw][:, None] + offsets])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(out.net.parameters(), CLIP_NORM)
            optimiser.step()
            if on_step is not None:
                on_step(step + 1, steps, float(loss.detach()))
        out.train_seconds = time.process_time() - started
        return out

    def forecast(self, contexts: Sequence[np.ndarray], horizon: int) -> BaselineForecast:
        """Roll the network out after every context, of which it reads the last 24 steps.

        Args:
            contexts: N arrays (T_n, C) of positive values; missing ones are interpolated.
            horizon: H, steps to forecast.

        Returns:
            point (N, H, C), no samples, the CPU seconds without those of `fit`, and a note.

        Raises:
            DataError: contexts that are too short, not positive or of other channels.
        """
        import torch

        started = time.process_time()
        prepared = GLOBAL_MLP.needs.prepare(contexts, horizon, self.name)
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
            StorageError: the file cannot be written.
        """
        from safetensors.torch import save

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
        state = {key: value.contiguous() for key, value in self.net.state_dict().items()}
        blob = save(state, metadata={"loracast": json.dumps(header)})
        return write_whole(path, blob)

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
            net = _build(header["n_channels"], 0)
            net.load_state_dict(state)
            keys = ("n_channels", "change_scale", "steps", "seed", "train_seconds")
            return cls(net, **{key: header[key] for key in keys})
        except (OSError, SafetensorError, json.JSONDecodeError, KeyError, RuntimeError) as problem:
            text = " ".join(str(problem).split())[:200]
            raise StorageError(f"{path}: is no readable global_mlp ({text})") from problem

    def _change(self, past: torch.Tensor) -> torch.Tensor:
        """Next log change (B, C) after the logs (B, LAGS, C)."""
        import torch

        centred = past - past.mean(dim=1, keepdim=True)
        levels = centred.clamp(-8.0, 4.0).exp()  # keeps the inputs of order 1 to 50
        changes = (past[:, 1:] - past[:, :-1]) / self.change_scale
        features = torch.cat([x.flatten(1) for x in (centred, levels, changes)], dim=1)
        out: torch.Tensor = self.net(features) * self.change_scale
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


def _build(n_channels: int, seed: int) -> torch.nn.Sequential:
    import torch

    width_in = n_channels * (3 * LAGS - 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[Any] = []
        for _ in range(DEPTH):
            layers += [torch.nn.Linear(width_in, WIDTH), torch.nn.SiLU()]
            width_in = WIDTH
        return torch.nn.Sequential(*layers, torch.nn.Linear(WIDTH, n_channels))


def _schedule(step: int, steps: int) -> float:
    """Share of the learning rate: linear warmup, then a cosine to zero."""
    warmup = min(1.0, (step + 1) / WARMUP_STEPS)
    return warmup * 0.5 * (1.0 + float(np.cos(np.pi * step / steps)))


GLOBAL_MLP = Method(
    name=GlobalMLP.name,
    label="global MLP",
    spoken="the global MLP",
    hint="one network on lags, all training series",
    group=Group.NEURAL,
    colour="#B8860B",
    needs=Needs(steps=LAGS, positive=True),
    trained=GlobalMLP,
)
