"""Shared fixtures. Threads are set before anything numeric is imported."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if beside := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)) - 1:  # each gets its share of the cores
    own = str(max(1, (os.cpu_count() or 1) // (beside + 1)))
    os.environ.setdefault("OMP_NUM_THREADS", own)
    os.environ.setdefault("HEIMDALL_THREADS", own)

from collections.abc import Iterator  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# A loaded machine is slow, not wrong: examples are counted, not timed.
settings.register_profile("heimdall", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("heimdall")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Fast tests first; of several processes one begins with the notebooks, which last longest."""
    items.sort(key=lambda item: "notebooks" in item.keywords, reverse=hasattr(config, "workerinput"))


@pytest.fixture(scope="session")
def arcadedb() -> Iterator[Any]:
    """One started ArcadeDB engine: the Java machine cannot start twice in a process."""
    from heimdall_nb.engines.arcadedb import ArcadeDB

    with ArcadeDB() as engine:
        yield engine


@pytest.fixture(scope="session")
def two_engines() -> Any:
    """The two engines that generation runs each query on; they stay open for the process."""
    from heimdall_nb.dataset.mix import engines

    return engines()


@pytest.fixture(scope="session")
def bolt() -> Iterator[Any]:
    """A running Bolt server with an empty database: address, account, and the number of its process."""
    import bolt_server

    with bolt_server.started() as server:
        yield server
