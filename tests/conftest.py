"""What every test may ask for: event loops, real components, the size of a soak. The work is done in tests/support."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.components import require_component
from tests.support.coroutines import loop_factory, pytest_pyfunc_call
from tests.support.processes import running

__all__ = ["loop_factory", "pytest_pyfunc_call"]

# `make test` tries the same inputs on every machine and every day. `make soak` tries more, and new ones each time; only
# in CI it does not, because what a change is blamed for should come from the change.
SOAK = int(os.environ.get("FAIRWAY_SOAK", "0"))
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, database=None, print_blob=True)
hypothesis.settings.register_profile(
    "soak",
    derandomize="CI" in os.environ,
    deadline=None,
    database=None,
    print_blob=True,
    max_examples=200 * max(SOAK, 1),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("soak" if SOAK else "fixed")


@pytest.fixture
def soak() -> int:
    """How many times longer than in CI a soak test runs (`make soak` 20, CI 1)."""
    return max(SOAK, 1)


@pytest.fixture
def redis_socket(tmp_path: Path) -> Iterator[Path]:
    """The Unix socket of a Redis server of this test's own, empty, and gone afterwards."""
    path = tmp_path / "redis.sock"
    arguments = ["--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--dir", tmp_path]
    with running([require_component("redis"), *arguments]) as server:
        server.wait_for_output("eady to accept connections")
        yield path


@pytest.fixture
def chromium_options() -> dict[str, object]:
    """Options for Playwright's ``chromium.launch``: the system's browser, headless, and kept from calling anyone."""
    return {
        "executable_path": require_component("chromium"),
        "headless": True,
        "args": [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ],
    }
