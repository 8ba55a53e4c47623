"""Caps on tokens and money that are never passed: the worst case is reserved, then settled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from loracast.errors import ConfigError

__all__ = ["Prices", "Spending"]

MILLION = Decimal(1_000_000)


@dataclass(frozen=True)
class Prices:
    """Money per million tokens, in any currency.

    Args:
        prompt: of the prompt.
        answer: of the answer.

    Raises:
        ConfigError: a price that is negative or not finite.
    """

    prompt: float = 0.0
    answer: float = 0.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(p) and p >= 0 for p in (self.prompt, self.answer)):
            raise ConfigError(
                f"got prices {self.prompt} and {self.answer}; expected 0 or more a million tokens"
            )

    def cost(self, tokens_in: int, tokens_out: int) -> Decimal:
        """Of a request, exact to the last digit."""
        prompt, answer = Decimal(str(self.prompt)), Decimal(str(self.answer))
        return (prompt * tokens_in + answer * tokens_out) / MILLION


class Spending:
    """What was spent and reserved, held against the caps.

    Args:
        max_tokens: cap on the tokens of prompts and answers together; None for none.
        max_cost: cap on money; None for none.
        prices: that money is counted with.
        tokens, cost: what was spent before.

    Raises:
        ConfigError: a cap that is not above 0, or a cap on money without prices.
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        max_cost: float | None = None,
        prices: Prices | None = None,
        *,
        tokens: int = 0,
        cost: Decimal = Decimal(0),
    ) -> None:
        for name, cap in (("max_tokens", max_tokens), ("max_cost", max_cost)):
            if cap is not None and not (math.isfinite(cap) and cap > 0):
                raise ConfigError(f"got {name} {cap}; expected more than 0")
        if max_cost is not None and (prices is None or prices == Prices()):
            raise ConfigError(
                f"got a cap of {max_cost} on money and no prices; say what a million tokens of "
                "prompt and of answer cost"
            )
        self.max_tokens = max_tokens
        self.max_cost = None if max_cost is None else Decimal(str(max_cost))
        self.prices = prices or Prices()
        self.tokens, self.cost = tokens, cost
        self._reserved: dict[int, tuple[int, Decimal]] = {}
        self._next = 0

    @property
    def in_flight(self) -> int:
        """Reservations that are not settled."""
        return len(self._reserved)

    def reserve(self, tokens: int, cost: Decimal) -> int | None:
        """Reserve the worst case of a request; None, and nothing held, where it does not fit."""
        held = list(self._reserved.values())
        all_tokens = self.tokens + tokens + sum(t for t, _ in held)
        all_cost = self.cost + cost + sum((c for _, c in held), Decimal(0))
        if self.max_tokens is not None and all_tokens > self.max_tokens:
            return None
        if self.max_cost is not None and all_cost > self.max_cost:
            return None
        self._next += 1
        self._reserved[self._next] = (tokens, cost)
        return self._next

    def settle(self, reservation: int, tokens: int, cost: Decimal) -> None:
        """Put what a request did cost in the place of what was reserved for it."""
        del self._reserved[reservation]
        self.tokens += tokens
        self.cost += cost

    def caps(self) -> str:
        """The caps in words."""
        said: Mapping[str, object | None] = {
            "tokens": None if self.max_tokens is None else f"{self.max_tokens:,}",
            "money": self.max_cost,
        }
        return " and ".join(f"{cap} {what}" for what, cap in said.items() if cap is not None)
