"""The demo's server, a browser, and visitors."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import Program, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.e2e.chat import Site, Visitor


@pytest.fixture
def browser(chromium_options: dict[str, object]) -> Iterator["Browser"]:
    """A browser for one test. Playwright keeps an event loop while it is there, so coroutine tests must not meet it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, playwright.chromium.launch(**chromium_options) as browser:
        yield browser


@pytest.fixture
def site(tmp_path: Path) -> "Site":
    """The demo with an empty database, not started yet."""
    from tests.e2e.chat import Site

    site = Site(free_port(), tmp_path / "chat.sqlite3")
    site.migrate()
    return site


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A copy of the demo's code, to be edited."""
    from tests.e2e.chat import CHAT

    return shutil.copytree(CHAT, tmp_path / "demo", ignore=shutil.ignore_patterns("*.sqlite3*", "__pycache__"))


@pytest.fixture
def server(site: "Site") -> Iterator[Program]:
    """The demo, started. Nothing that a visitor does may make an exception in it."""
    with site.served() as server:
        yield server
        assert "Traceback" not in server.output(), server.output()


@pytest.fixture
def visitor(browser: "Browser", site: "Site") -> Iterator[Callable[[str], "Visitor"]]:
    """Make visitors by name. An error in the script of anybody's page fails the test."""
    from tests.e2e.chat import Visitor

    visitors: list[Visitor] = []

    def visit(name: str) -> Visitor:
        visitors.append(Visitor(browser, site, name))
        return visitors[-1]

    yield visit
    assert {someone.name: someone.page_errors for someone in visitors if someone.page_errors} == {}
