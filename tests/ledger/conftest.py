"""Databases for the ledger: SQLite always, PostgreSQL where its server is installed."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loracast.ledger import Ledger

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
_names = itertools.count()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A throw-away server on a loopback port, or the reason why there is none."""
    path = BENCHMARKS / "throwaway_postgres.py"
    pytest.importorskip("psycopg", reason="PostgreSQL driver not installed: SQLite only")
    if not path.exists():
        pytest.skip("benchmarks/ not beside the tests: SQLite only")
    spec = importlib.util.spec_from_file_location("throwaway_postgres", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.throwaway_postgres() as url:
        if url is None:
            pytest.skip("no PostgreSQL server binaries on this machine: SQLite only")
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where a new ledger can be opened: its path or URL, and a name that is not taken."""
    name = f"ledger-{next(_names)}"
    if request.param == "sqlite":
        return str(tmp_path / "ledger.sqlite"), name
    return request.getfixturevalue("postgres_url"), name


@pytest.fixture
def open_ledger(location: tuple[str, str]) -> Iterator[Callable[..., Ledger]]:
    """Opens the same ledger again and again; every one is sound when the test ends."""
    opened: list[Ledger] = []

    def open_(limit: float | None = None, convention: str | None = None) -> Ledger:
        opened.append(Ledger(location[0], limit, convention, name=location[1]))
        return opened[-1]

    yield open_
    for ledger in opened:
        assert ledger.verify() == []
        ledger.close()
