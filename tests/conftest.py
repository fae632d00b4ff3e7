"""What every test may ask for: event loops, real components, the size of a soak. The work is done in tests/support."""

import os
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import pytest
from asgiref.sync import SyncToAsync

from tests.support.components import require_component
from tests.support.coroutines import loop_factory, pytest_pyfunc_call
from tests.support.redis_fixtures import (
    own_redis,
    own_redis_cluster,
    own_redis_sentinel,
    redis_certificates,
    running_redis,
    running_redis_cluster,
    shared_redis,
    shared_redis_cluster,
    tls_redis,
)

__all__ = [
    "loop_factory",
    "own_redis",
    "own_redis_cluster",
    "own_redis_sentinel",
    "pytest_pyfunc_call",
    "redis_certificates",
    "running_redis",
    "running_redis_cluster",
    "shared_redis",
    "shared_redis_cluster",
    "tls_redis",
]

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


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Give each test a thread of its own for `sync_to_async`: in a shared one a database connection would stay."""
    used = SyncToAsync.single_thread_executor
    if used._threads:
        SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)
        used.shutdown(wait=False)


@pytest.fixture
def soak() -> int:
    """How many times longer than in CI a soak test runs (`make soak` 20, CI 1)."""
    return max(SOAK, 1)


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
