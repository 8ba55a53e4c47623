"""What is trained beside the frozen model: the part of an adapter that costs FLOPs."""

from __future__ import annotations

from dataclasses import dataclass

from loracast.errors import ConfigError

__all__ = ["LoraSpec"]


@dataclass(frozen=True)
class LoraSpec:
    """The cost-relevant facts of a LoRA adapter.

    Args:
        rank: r of the low-rank factors A [r, n_in] and B [n_out, r].
        targets: names of the adapted projections, as the model's modules are called.
        head_bias: a trained bias on the LM head.
        layers: indices of the adapted layers; None means all.
        inputs_trained: something trained feeds the first layer (for instance a number
            embedding), so activation gradients run all the way down.

    Raises:
        ConfigError: rank below 1, or no target and nothing else trained.
    """

    rank: int
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    head_bias: bool = False
    layers: tuple[int, ...] | None = None
    inputs_trained: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise ConfigError(
                f"LoRA rank: got {self.rank!r}, expected a whole number of at least 1"
            )
        if isinstance(self.targets, str):  # type: ignore[unreachable]
            raise ConfigError(
                f"LoRA targets: got the text {self.targets!r}, expected a tuple such as "
                "('q_proj', 'v_proj')"
            )
        object.__setattr__(self, "targets", tuple(dict.fromkeys(self.targets)))
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(sorted(set(self.layers))))
