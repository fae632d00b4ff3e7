"""The register of examples/progress as the tests use it: its server, and a window that watches an import."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, WebSocket, expect

from tests.support.processes import ROOT, Program, running_python

PROGRESS = ROOT / "examples" / "progress"
MANAGE = PROGRESS / "manage.py"
PATIENCE = 10_000  # milliseconds; Playwright waits for conditions, at most so long
END = 30_000  # the same for the end of an import

UNDER_WAY = re.compile(r"^[1-9]\d? %$")
"""What the page shows while the ship is neither here nor there."""

expect.set_options(timeout=PATIENCE)


class Site:
    """The register, on a port, a database and a hub of its own."""

    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.port = port
        self.pause = 0.03
        """Seconds that the import of one row takes."""
        # The tests have settings of their own, which a child process would inherit.
        self._env = {
            "DJANGO_SETTINGS_MODULE": "demo.settings",
            "PROGRESS_DATABASE": str(folder / "progress.sqlite3"),
            "PROGRESS_LAYER": f"local://{folder}/hub.sock",
        }

    def migrate(self) -> None:
        subprocess.run(
            [sys.executable, MANAGE, "migrate", "--verbosity", "0"], check=True, env={**os.environ, **self._env}
        )

    @contextlib.contextmanager
    def served(self) -> Iterator[Program]:
        """Run the server, and the code in a process of its own, as `make progress` does."""
        address, env = f"127.0.0.1:{self.port}", {**self._env, "PROGRESS_PAUSE": str(self.pause)}
        with running_python(MANAGE, "runserver", address, port=self.port, env=env) as server:
            yield server


class Window:
    """A page in a browser, and what its sockets were sent."""

    def __init__(self, browser: Browser, site: Site, *, width: int = 1200) -> None:
        context = browser.new_context(viewport={"width": width, "height": 800})
        context.set_default_timeout(PATIENCE)
        self.page: Page = context.new_page()
        self.page_errors: list[str] = []
        self.frames: list[dict] = []
        self.page.on("pageerror", lambda error: self.page_errors.append(str(error)))
        self.page.on("websocket", self._listen)
        self._site = site

    def _listen(self, line: WebSocket) -> None:
        line.on("framereceived", lambda text: self.frames.append(json.loads(text)))

    def press(self, *, mistake: bool = False) -> str:
        """Press the button; return where the import can be watched."""
        self.page.goto(self._site.url)
        self.page.get_by_label("Put a mistake").set_checked(mistake)
        self.page.get_by_role("button", name="Import 200 rows").click()
        self.page.wait_for_url("**/imports/*/")
        return self.page.url

    def watch(self, address: str) -> None:
        self.page.goto(address)

    def reports(self) -> list[int]:
        """How far it was, report by report."""
        return [frame["done"] for frame in self.frames if "progress" in frame]

    def expect_under_way(self) -> None:
        """Wait until the ship has left and not arrived, and the socket is open."""
        expect(self.page.locator(".percent")).to_have_text(UNDER_WAY)
        expect(self.page.locator("body")).to_have_attribute("data-state", "running")
        expect(self.page.locator("#connection")).to_have_attribute("data-state", "open")

    def expect_end(self, state: str, outcome: str) -> None:
        """Wait until the import has ended, and the page has said so and hung up."""
        expect(self.page.locator("body")).to_have_attribute("data-state", state, timeout=END)
        expect(self.page.locator("#outcome")).to_contain_text(outcome)
        expect(self.page.locator("#connection")).to_be_hidden()

    def expect_bar(self, done: int) -> None:
        """Wait until the bar stands there, for those who see it and for those who do not."""
        bar = self.page.get_by_role("progressbar", name="Import of arrivals.csv")
        expect(bar).to_have_attribute("aria-valuenow", str(done))
        expect(self.page.locator(".count")).to_have_text(f"{done} of 200 rows")
