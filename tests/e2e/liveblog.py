"""The live blog as the tests use it: its server, and what somebody at a window does and sees."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.support.processes import ROOT, Program, running_python

LIVEBLOG = ROOT / "examples" / "liveblog"
MANAGE = LIVEBLOG / "manage.py"
PATIENCE = 10_000  # milliseconds; Playwright waits for conditions, at most so long

expect.set_options(timeout=PATIENCE)


class Site:
    """The live blog, on a port, a database and a hub of its own. It can be killed and started again."""

    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.port = port
        self.database = folder / "liveblog.sqlite3"
        # The tests have settings of their own, which a child process would inherit.
        self._env = {
            "DJANGO_SETTINGS_MODULE": "demo.settings",
            "LIVEBLOG_DATABASE": str(self.database),
            "LIVEBLOG_LAYER": f"local://{folder}/hub.sock",
        }

    def manage(self, *arguments: str) -> None:
        """Run one of Django's commands, in a process of its own."""
        subprocess.run([sys.executable, MANAGE, *arguments], check=True, env={**os.environ, **self._env})

    def in_shell(self, code: str) -> None:
        """Run code in `manage.py shell`, which knows the models by itself."""
        self.manage("shell", "--command", code)

    @contextlib.contextmanager
    def served(self) -> Iterator[Program]:
        with running_python(
            MANAGE, "runserver", "--noreload", f"127.0.0.1:{self.port}", port=self.port, env=self._env
        ) as server:
            yield server


class Person:
    """Somebody at a browser, with cookies of their own; more tabs are more `Tab`s."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self.context: BrowserContext = browser.new_context(viewport={"width": 1200, "height": 900})
        self.context.set_default_timeout(PATIENCE)
        self.page_errors: list[str] = []
        self._site = site

    def log_in(self, name: str) -> "Tab":
        """Go the way of a visitor: to the page, which asks who is there, and is content with a click."""
        tab = Tab(self._new_page())
        tab.page.goto(self._site.url)
        tab.page.locator(f".chip[data-username={name}]").click()
        tab.expect_live()
        return tab

    def open_tab(self) -> "Tab":
        """Open another one, where one is logged in."""
        tab = Tab(self._new_page())
        tab.page.goto(self._site.url)
        tab.expect_live()
        return tab

    def _new_page(self) -> Page:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.page_errors.append(str(error)))
        return page


class Tab:
    """The blog in a tab."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def post(self, title: str) -> Locator:
        return self.page.locator(".post").filter(has=self.page.get_by_role("heading", name=title, exact=True))

    def press(self, title: str, button: str) -> None:
        """Press one of the buttons of a post."""
        self.post(title).get_by_role("button", name=button).click()

    def write(self, title: str, text: str = "") -> None:
        """Fill the form for new posts, and send it."""
        desk = self.page.get_by_role("complementary", name="New post")
        desk.get_by_label("Title").fill(title)
        desk.get_by_label("Text").fill(text)
        desk.get_by_role("button", name="Post").click()

    def expect_posts(self, *titles: str) -> None:
        """Wait until exactly these are there, in this order."""
        expect(self.page.locator(".post:not(.is-going) h2")).to_have_text(list(titles))

    def expect_live(self) -> None:
        self.expect_connection("open")
        expect(self.page.locator("#posts")).to_have_attribute("aria-busy", "false")

    def expect_connection(self, state: str) -> None:
        expect(self.page.locator("#connection")).to_have_attribute("data-state", state)
