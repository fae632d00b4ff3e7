"""The helpers of this suite keep what they promise; a helper that lies makes every test lie."""

import asyncio
import sys

import pytest

from tests.support import components
from tests.support.processes import free_port, running_python
from tests.support.waiting import await_until, wait_until

pytest_plugins = ["pytester"]


async def test_a_coroutine_test_runs_on_plain_asyncio() -> None:
    assert type(asyncio.get_running_loop()).__module__.startswith("asyncio")


async def test_a_coroutine_test_that_asks_runs_on_both_loops(loop_factory, request) -> None:
    name = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    assert name in request.node.name
    assert name in {"asyncio", "uvloop"}


@pytest.mark.usefixtures("loop_factory")
async def test_a_mark_asks_too(request) -> None:
    assert type(asyncio.get_running_loop()).__module__.partition(".")[0] in request.node.name


def test_wait_until_gives_the_value_and_fails_at_the_deadline() -> None:
    assert wait_until(lambda: 7) == 7
    with pytest.raises(AssertionError, match="in vain for rain"):
        wait_until(lambda: False, "rain", deadline=0.02)


async def test_await_until_gives_the_value_and_fails_at_the_deadline() -> None:
    assert await await_until(lambda: 7) == 7
    with pytest.raises(AssertionError, match="in vain for rain"):
        await await_until(lambda: False, "rain", deadline=0.02)


def test_a_missing_component_is_skipped_aloud_and_fails_in_ci(monkeypatch) -> None:
    monkeypatch.setitem(components.COMPONENTS, "unobtainium", (("unobtainium",), "unobtainium-server"))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install unobtainium-server"):
        components.require_component("unobtainium")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install unobtainium-server"):
        components.require_component("unobtainium")


def test_a_program_is_ready_when_its_port_answers_and_gone_after_the_block() -> None:
    port = free_port()
    with running_python("-m", "http.server", str(port), "--bind", "127.0.0.1", port=port) as program:
        assert program.process.poll() is None
    assert program.process.poll() is not None


def test_a_program_that_ends_early_says_what_it_printed() -> None:
    with (
        running_python("-c", "print('no luck'); raise SystemExit(3)") as program,
        pytest.raises(AssertionError, match=r"(?s)ended with 3.*no luck"),
    ):
        program.wait_for_output("ready")


def test_redis_is_a_real_one_and_comes_back_empty(own_redis) -> None:
    own_redis.call("SET", "key", "value")
    assert own_redis.call("GET", "key") == b"value"
    own_redis.restart()
    assert own_redis.call("GET", "key") is None


@pytest.mark.skipif(sys.platform == "win32", reason="system Chromium is a Debian matter")
@pytest.mark.e2e
def test_chromium_is_a_real_one(chromium_options) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, playwright.chromium.launch(**chromium_options) as browser:
        page = browser.new_page()
        page.set_content("<h1>Fairway</h1>")
        assert page.inner_text("h1") == "Fairway"
