"""How a server is asked and what that may cost: options, caps, a plan, and the counts of a run."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from loracast.annotation._teacher_reply import printable
from loracast.annotation._teacher_request import SeriesQuestion
from loracast.errors import ConfigError

__all__ = ["KEY_VARIABLE", "Expense", "Prices", "ServerConfig", "TeacherPlan", "TeacherStats"]

KEY_VARIABLE = "OPENAI_API_KEY"
MILLION = Decimal(1_000_000)


@dataclass(frozen=True)
class Expense:
    """Tokens, and money exact to the last digit; of one request, or of many."""

    tokens: int = 0
    cost: Decimal = Decimal(0)

    def __add__(self, other: Expense) -> Expense:
        return Expense(self.tokens + other.tokens, self.cost + other.cost)

    def __sub__(self, other: Expense) -> Expense:
        return Expense(self.tokens - other.tokens, self.cost - other.cost)


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


@dataclass(frozen=True)
class ServerConfig:
    """How a server is asked, and what it may cost.

    Args:
        model: its name there.
        base_url: of the server's API, often ending in /v1; None is OpenAI's own.
        picture: show a line chart instead of numbers, for models that see.
        seed: sent along, and a part of the cache's key.
        answer_tokens: allowed for one answer.
        max_tokens: cap on all tokens, prompts and answers, of all runs with the same cache.
        max_cost: cap on money, likewise; needs `prices`.
        prices: per million tokens.
        cache: folder of answers; None keeps them for one run only.
        workers: requests under way at once.
        tries: of one question, the first one included.
        timeout: seconds after which a request is given up, however it stalls.
        first_wait, longest_wait: seconds between tries; the wait doubles, times 0.5 to 1.5. What
            the server asks to wait is added, and ends the run where it is longer than the longest.

    Raises:
        ConfigError: a value outside its bounds, a cap on money without prices, or credentials in
            `base_url`.
    """

    model: str
    base_url: str | None = None
    picture: bool = False
    seed: int = 0
    answer_tokens: int = 512
    max_tokens: int | None = None
    max_cost: float | None = None
    prices: Prices = field(default_factory=Prices)
    cache: Path | None = None
    workers: int = 4
    tries: int = 5
    timeout: float = 120.0
    first_wait: float = 1.0
    longest_wait: float = 60.0

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ConfigError("got no model; name the one that the server has")
        for name in ("answer_tokens", "workers", "tries"):
            if getattr(self, name) < 1:
                raise ConfigError(f"got {name} {getattr(self, name)}; expected 1 or more")
        if not self.timeout > 0 or not 0 <= self.first_wait <= self.longest_wait:
            raise ConfigError(
                f"got timeout {self.timeout}, first_wait {self.first_wait}, longest_wait "
                f"{self.longest_wait}; expected a timeout above 0 and 0 <= first <= longest"
            )
        if self.base_url is not None:
            parts = urlsplit(self.base_url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ConfigError(
                    f"got base_url {printable(self.base_url)!r}; expected http(s)://host/..., "
                    "often ending in /v1"
                )
            if parts.username or parts.password or parts.query:
                raise ConfigError(
                    f"got a base_url with credentials or a query; the key goes into {KEY_VARIABLE}"
                )
        for name, cap in (("max_tokens", self.max_tokens), ("max_cost", self.max_cost)):
            if cap is not None and not (math.isfinite(cap) and cap > 0):
                raise ConfigError(f"got {name} {cap}; expected more than 0")
        if self.max_cost is not None and self.prices == Prices():
            raise ConfigError(
                f"got a cap of {self.max_cost} on money and no prices; say what a million tokens "
                "of prompt and of answer cost"
            )

    def worst_case(self, question: SeriesQuestion) -> Expense:
        """The most that one request can cost."""
        prompt = question.most_tokens()
        return Expense(prompt + self.answer_tokens, self.prices.cost(prompt, self.answer_tokens))

    def allows(self, spent: Expense) -> bool:
        """Whether so much in all is within the caps."""
        return (self.max_tokens is None or spent.tokens <= self.max_tokens) and (
            self.max_cost is None or spent.cost <= Decimal(str(self.max_cost))
        )


@dataclass
class TeacherStats:
    """What a run did: counts, and what was spent in it."""

    requests: int = 0
    answers: int = 0
    cached: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    not_asked: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens: int = 0
    cost: float = 0.0
    total_tokens: int = 0
    total_cost: float = 0.0


@dataclass(frozen=True)
class TeacherPlan:
    """What a run would ask and cost at most, retries left out.

    Args:
        requests: to send.
        cached: series whose answer is there already.
        unreadable: series that cannot be asked about.
        tokens_at_most, cost_at_most: of the requests.
        spent_tokens, spent_cost: before, with the same cache.
        within_caps: requests that surely fit into the caps.
    """

    requests: int
    cached: int
    unreadable: int
    tokens_at_most: int
    cost_at_most: float
    spent_tokens: int
    spent_cost: float
    within_caps: int
