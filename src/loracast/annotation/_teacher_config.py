"""How a server is asked and what that may cost: options, a plan, and the counts of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from loracast.annotation._teacher_reply import printable
from loracast.annotation._teacher_request import IMAGE_TOKENS, Question
from loracast.annotation._teacher_spending import Prices, Spending
from loracast.errors import ConfigError

__all__ = ["KEY_VARIABLE", "ServerConfig", "TeacherPlan", "TeacherStats"]

KEY_VARIABLE = "OPENAI_API_KEY"


@dataclass(frozen=True)
class ServerConfig:
    """How a server is asked, and what it may cost.

    Args:
        model: its name there.
        base_url: of the server's API, often ending in /v1; None is OpenAI's own.
        picture: show a line chart instead of numbers, for models that see.
        seed: sent along, and a part of the cache's key.
        temperature: of sampling; None leaves it to the server.
        answer_tokens: allowed for one answer.
        max_tokens: cap on all tokens, prompts and answers, of all runs with the same cache.
        max_cost: cap on money, likewise; needs `prices`.
        prices: per million tokens.
        image_tokens: the most that one picture counts.
        cache: file of answers; None keeps them in memory only.
        workers: requests under way at once.
        tries: of one question, the first one included.
        timeout: seconds after which a request is given up, however it stalls.
        first_wait, longest_wait: seconds between tries; the wait doubles, times 0.5 to 1.5.

    Raises:
        ConfigError: a value outside its bounds, or credentials in `base_url`.
    """

    model: str
    base_url: str | None = None
    picture: bool = False
    seed: int = 0
    temperature: float | None = 0.0
    answer_tokens: int = 512
    max_tokens: int | None = None
    max_cost: float | None = None
    prices: Prices = field(default_factory=Prices)
    image_tokens: int = IMAGE_TOKENS
    cache: Path | None = None
    workers: int = 4
    tries: int = 5
    timeout: float = 120.0
    first_wait: float = 1.0
    longest_wait: float = 60.0

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ConfigError("got no model; name the one that the server has")
        for name in ("answer_tokens", "image_tokens", "workers", "tries"):
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
        Spending(self.max_tokens, self.max_cost, self.prices)

    def worst_case(self, question: Question) -> tuple[int, Decimal]:
        """Tokens and money that one request can cost."""
        prompt = question.most_tokens(self.image_tokens)
        return prompt + self.answer_tokens, self.prices.cost(prompt, self.answer_tokens)


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
