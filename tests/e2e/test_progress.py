"""An import that is watched: real Chromium windows, the real server, a real task between them."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.lines import keep_lines
from tests.e2e.progress import PROGRESS, Site, Window
from tests.support.processes import Program, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform == "win32", reason="system Chromium is a Debian matter")]

DONE = "200 arrivals are in the register"


@pytest.fixture
def site() -> Iterator[Site]:
    """The demo, not started yet. A hub's path is short, so it is not in pytest's folder."""
    with tempfile.TemporaryDirectory(prefix="progress-") as folder:
        site = Site(free_port(), Path(folder))
        site.migrate()
        yield site


@pytest.fixture
def server(site: Site) -> Iterator[Program]:
    """The demo, started. Nothing that anybody does may make an exception in it."""
    with site.served() as server:
        yield server
        assert "Traceback" not in server.output(), server.output()


@pytest.fixture
def window(browser, site: Site) -> Iterator[Callable[..., Window]]:
    """Make windows. An error in the script of any page fails the test."""
    windows: list[Window] = []

    def make(**options) -> Window:
        windows.append(Window(browser, site, **options))
        return windows[-1]

    yield make
    assert [one.page_errors for one in windows if one.page_errors] == []


@pytest.mark.usefixtures("server")
def test_the_bar_moves_in_every_window_until_all_is_imported(window) -> None:
    first, second = window(), window()
    address = first.press()
    first.expect_under_way()
    second.watch(address)
    second.expect_under_way()
    for one in (first, second):
        one.expect_end("done", DONE)
        one.expect_bar(200)
        assert one.page.title().startswith("Done")

    reports = first.reports()
    assert reports[-1] == 200
    assert reports == sorted(set(reports))
    assert second.reports() == reports[-len(second.reports()) :]  # the same, from when it came
    late = window()
    late.watch(address)
    late.expect_end("done", DONE)
    late.expect_bar(200)
    assert late.reports() == []
    late.page.get_by_role("link", name="To the register").click()
    expect(late.page.get_by_role("heading", name="In the register: 200 arrivals")).to_be_visible()


@pytest.mark.usefixtures("server")
def test_a_mistake_in_the_file_stops_the_bar_and_nothing_is_imported(window) -> None:
    one = window()
    one.press(mistake=True)
    one.expect_end("refused", "Row 120, Little Heron: “a lot” value must be an integer. Nothing was imported.")
    assert one.reports()[-1] < 120
    one.expect_bar(one.reports()[-1])
    one.page.reload()
    one.expect_end("refused", "Row 120")
    one.page.get_by_role("link", name="To the register").click()
    expect(one.page.get_by_text("Nothing yet.")).to_be_visible()


def test_a_bug_is_told_without_its_reason(site, window) -> None:
    site.pause = -1  # nobody can sleep for so long
    with site.served() as server:
        one = window()
        one.press()
        one.expect_end("failed", "The import has failed, and nothing was imported.")
        one.expect_bar(0)
        server.wait_for_output("ValueError: sleep length must be non-negative")
    assert "non-negative" not in one.page.content()


def test_when_the_code_is_killed_the_import_begins_again_and_the_sockets_stay(server, window) -> None:
    one = window()
    one.press()
    one.expect_under_way()
    os.kill(child_of(server.pid), signal.SIGKILL)
    server.wait_for_output("died (SIGKILL)")
    one.expect_end("done", DONE)
    reports = one.reports()
    assert reports.count(200) == 1
    assert reports != sorted(reports)  # it began again
    assert [frame["state"] for frame in one.frames if "state" in frame][1:] == ["done"]  # on one socket


@pytest.mark.usefixtures("server")
def test_a_lost_connection_comes_back_and_the_bar_goes_on(window) -> None:
    one = window()
    lines = keep_lines(one.page, "**/ws/imports/**")
    one.press()
    one.expect_under_way()
    lines[0].close(code=1012)
    expect(one.page.locator("#connection-text")).to_have_text("Connection lost")
    one.expect_under_way()
    one.expect_end("done", DONE)
    assert len(lines) == 2


@pytest.mark.usefixtures("server")
def test_it_fits_a_phone(window) -> None:
    one = window(width=360)
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    one.press()
    one.expect_under_way()
    assert one.page.evaluate(overflow) == 0
    one.expect_end("done", DONE)
    one.page.get_by_role("link", name="To the register").click()
    expect(one.page.get_by_role("table")).to_be_visible()
    assert one.page.evaluate(overflow) == 0


def test_its_own_tests_pass(monkeypatch) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "demo.settings")
    result = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "test"], cwd=PROGRESS, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Ran 6 tests" in result.stderr


def child_of(pid: int) -> int:
    """The process that the server runs the code in."""
    [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)
