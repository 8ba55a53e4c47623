"""A convention: how FLOPs are counted, as a named object with its source.

Every convention fills the same component tree for the same questions, so that published totals
can be set beside each other. Formulas live in the subclasses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from loracast.errors import ConfigError
from loracast.flops._architecture import Architecture
from loracast.flops._cost import CostTable
from loracast.flops._lora import LoraSpec
from loracast.flops._trained import OPTIMIZERS, Parameter

__all__ = ["Convention"]


class Convention(ABC):
    """Counts the FLOPs of one model under one set of rules.

    Arguments of all questions: `batch` B rows, `length` L tokens a row, `lora` the adapter
    (None: none, and in `train_step` full training). Answers are `CostTable`s.
    """

    name: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def train_step(
        self,
        arch: Architecture,
        batch: int,
        length: int,
        lora: LoraSpec | None,
        head_positions: float | None = None,
    ) -> CostTable:
        """Forward, loss and backward of B rows of L tokens; the update is apart, see `update`.

        Args:
            arch: the model.
            batch: rows B.
            length: tokens a row L, padding included.
            lora: what is trained; None trains everything.
            head_positions: positions per row that go through head and loss; None means all.
        """

    def update(self, parameters: Iterable[Parameter], optimizer: str) -> CostTable:  # noqa: ARG002
        """What the optimiser does with the gradients of one step; nothing where it is not counted.

        Args:
            parameters: (name, shape) of the weights that have a gradient, see
                `trained_parameters`.
            optimizer: 'adamw', or 'muon' (hidden matrices by Muon, the rest by AdamW).

        Raises:
            ConfigError: another optimiser.
        """
        if optimizer not in OPTIMIZERS:
            raise ConfigError(
                f"optimizer: got {optimizer!r}, expected one of {', '.join(OPTIMIZERS)}"
            )
        return CostTable()

    @abstractmethod
    def forward(
        self,
        arch: Architecture,
        batch: int,
        length: int,
        lora: LoraSpec | None = None,
        head_positions: float | None = None,
        loss: bool = False,
    ) -> CostTable:
        """One forward pass of B rows of L tokens.

        Args:
            arch: the model.
            batch: rows B.
            length: tokens a row L, padding included.
            lora: the adapter that runs along, or None.
            head_positions: positions per row that go through the head; None means all.
            loss: count the loss at the head's positions too.
        """

    @abstractmethod
    def decode(
        self,
        arch: Architecture,
        positions: float,
        cached: float,
        head_positions: float,
        lora: LoraSpec | None = None,
    ) -> CostTable:
        """Steps with a key/value cache, summed over rows and steps.

        Args:
            arch: the model.
            positions: token positions fed in all.
            cached: sum over these positions of the keys each is multiplied with.
            head_positions: positions in all that go through the head.
            lora: the adapter that runs along, or None.
        """

    def validate(
        self, arch: Architecture, batch: int, length: int, lora: LoraSpec | None = None
    ) -> CostTable:
        """A validation pass: forward and loss at every position."""
        return self.forward(arch, batch, length, lora, loss=True)

    def prefill(
        self, arch: Architecture, batch: int, length: int, lora: LoraSpec | None = None
    ) -> CostTable:
        """A prompt of L tokens read into the cache, with the head at its last position."""
        return self.forward(arch, batch, length, lora, head_positions=1)

    def forecast(
        self,
        arch: Architecture,
        batch: int,
        length: int,
        new_tokens: int,
        samples: int = 1,
        forced: int = 0,
        lora: LoraSpec | None = None,
    ) -> CostTable:
        """A whole forecast: one prefill per row shared by its samples, then cached decoding.

        The first token comes from the prefill and the last one is never fed back. A forced
        token (a separator) is fed but not sampled, so it needs no pass through the head.

        Args:
            arch: the model.
            batch: rows B.
            length: prompt tokens a row L.
            new_tokens: tokens written per sample, forced ones included.
            samples: paths per row S.
            forced: how many of the new tokens are forced.
            lora: the adapter that runs along, or None.

        Raises:
            ConfigError: `forced` is negative or leaves no token to sample.
        """
        if not 0 <= forced < new_tokens:
            raise ConfigError(
                f"forecast: got forced={forced} of new_tokens={new_tokens}, expected at least one "
                "sampled token"
            )
        rows, fed = batch * samples, new_tokens - 1
        keys = fed * length + fed * (fed + 1) // 2
        sampled = new_tokens - forced - 1
        return self.prefill(arch, batch, length, lora) + self.decode(
            arch, rows * fed, rows * keys, rows * sampled, lora
        )
