"""What numbers in and numbers out cost: a value embedding and a distribution head, both trained.

Matrix products of two two-layer networks, a multiply-add is 2; activations and the elementwise
work of features and densities are left out, as the optimiser is.
"""

from __future__ import annotations

from dataclasses import dataclass

from loracast.flops._cost import CostTable

__all__ = ["ValueSpec"]


@dataclass(frozen=True)
class ValueSpec:
    """The cost-relevant sizes of a value interface.

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

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        embed = (self.inputs + 1) * self.width + (self.width + 1) * self.hidden
        head = (self.hidden + 1) * self.hidden + (self.hidden + 1) * self.outputs
        return embed + head

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
