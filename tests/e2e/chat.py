"""The demo chat as the tests use it: its server, and what a visitor does and sees."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.processes import ROOT, Program, running_python

CHAT = ROOT / "examples" / "chat"
PATIENCE = 10_000  # milliseconds; Playwright waits for conditions, at most so long

expect.set_options(timeout=PATIENCE)


class Site:
    """The demo, on a port and a database of its own. It can be killed and started again.

    `folder` is where its code is: a copy, where a test edits it.
    """

    def __init__(self, port: int, database: Path, folder: Path = CHAT) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.port = port
        self._manage = folder / "manage.py"
        # The tests have settings of their own, which a child process would inherit.
        self._env = {"CHAT_DATABASE": str(database), "DJANGO_SETTINGS_MODULE": "demo.settings"}

    def migrate(self) -> None:
        command = [sys.executable, self._manage, "migrate", "--verbosity", "0"]
        subprocess.run(command, check=True, env={**os.environ, **self._env})

    @contextlib.contextmanager
    def served(self) -> Iterator[Program]:
        address = f"127.0.0.1:{self.port}"
        with running_python(self._manage, "runserver", address, port=self.port, env=self._env) as server:
            yield server


class Visitor:
    """One person at one window, with cookies and storage of their own."""

    def __init__(self, browser: Browser, site: Site, name: str) -> None:
        self.name = name
        self._context = browser.new_context(viewport={"width": 1200, "height": 800})
        self._context.set_default_timeout(PATIENCE)
        self.page: Page = self._context.new_page()
        self.page_errors: list[str] = []
        self.page.on("pageerror", lambda error: self.page_errors.append(str(error)))
        self._site = site

    def enter(self, room: str) -> "Visitor":
        """Go the way of a visitor: through the first page, by its form."""
        self.page.goto(self._site.url)
        self.page.get_by_label("Your name").fill(self.name)
        self.page.get_by_role("textbox", name="Room").fill(room)
        self.page.get_by_role("button", name="Enter the room").click()
        self.expect_connection("open")
        return self

    def say(self, text: str) -> None:
        """Write and send, and wait until the server has confirmed it."""
        box = self.page.get_by_label("Message to")
        box.fill(text)
        box.press("Enter")
        expect(box).to_have_value("")
        expect(self.page.locator(".said.pending")).to_have_count(0)

    def leave(self) -> None:
        self._context.close()

    @property
    def messages(self) -> Locator:
        return self.page.locator(".said .text")

    @property
    def own_messages(self) -> Locator:
        return self.page.locator(".said.own .text")

    @property
    def quiet_lines(self) -> Locator:
        return self.page.locator(".quiet")

    def expect_messages(self, *texts: str) -> None:
        """Wait until exactly these are there, in this order."""
        expect(self.messages).to_have_text(list(texts))

    def expect_here(self, *names: str) -> None:
        """Wait until exactly these people are here; one's own name is at the top."""
        expect(self.page.locator("#members .name")).to_have_text(list(names))

    def expect_connection(self, state: str) -> None:
        expect(self.page.locator("#connection")).to_have_attribute("data-state", state)
