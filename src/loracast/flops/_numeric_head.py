"""What numbers in and numbers out cost: a value embedding and a distribution head, both trained.

Matrix products of two two-layer networks, a multiply-add is 2; activations and the elementwise
work of features and densities are left out. What updating them costs is the optimiser's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from loracast.flops._cost import CostTable

__all__ = ["NumericHeadSpec"]


@dataclass(frozen=True)
class NumericHeadSpec:
    """The cost-relevant sizes of a numeric head.

    Args:
        inputs: features of one position.
        width: hidden layer of the embedding.
        hidden: of the model.
        outputs: numbers of one position's distribution.
    """

    inputs: int
    width: int
    hidden: int
    outputs: int

    def parameters(self, answered: bool = True) -> Iterator[tuple[str, tuple[int, ...]]]:
        """(name, shape) of weights and biases; of the embedding alone if nothing is answered."""
        layers = [
            ("embed_in", self.width, self.inputs),
            ("embed_out", self.hidden, self.width),
            ("head_in", self.hidden, self.hidden),
            ("head_out", self.outputs, self.hidden),
        ]
        for name, n_out, n_in in layers if answered else layers[:2]:
            yield f"value_interface.{name}.weight", (n_out, n_in)
            yield f"value_interface.{name}.bias", (n_out,)

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return sum(math.prod(shape) for _, shape in self.parameters())

    def forward(self, embedded: float, answered: float) -> CostTable:
        """`embedded` positions through the embedding, `answered` ones through the head."""
        return CostTable(
            {
                "values.embedding": 2
                * embedded
                * (self.inputs * self.width + self.width * self.hidden),
                "values.head": 2
                * answered
                * (self.hidden * self.hidden + self.hidden * self.outputs),
            }
        )

    def train_step(self, embedded: float, answered: float) -> CostTable:
        """Forward and backward; nothing asks for gradients of the features themselves."""
        forward = self.forward(embedded, answered)
        backward = {
            "values.embedding": 2 * forward.forward["values.embedding"]
            - 2 * embedded * self.inputs * self.width,
            "values.head": 2 * forward.forward["values.head"],
        }
        return CostTable(forward.forward, backward)
