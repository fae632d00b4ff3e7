"""The board of examples/board as the tests use it: its server, and a window in which somebody works."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Locator, Page, WebSocket, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.support.processes import ROOT, Program, running_python

BOARD = ROOT / "examples" / "board"
MANAGE = BOARD / "manage.py"
PATIENCE = 10_000  # milliseconds; Playwright waits for conditions, at most so long
RETURN = 40_000  # the same for a page that comes back by itself: its longest delay is 30 seconds

expect.set_options(timeout=PATIENCE)


class Site:
    """The board, on a port, a database and a hub of its own. It can be killed and started again."""

    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.port = port
        self.database = folder / "board.sqlite3"
        # The tests have settings of their own, which a child process would inherit.
        self._env = {
            "DJANGO_SETTINGS_MODULE": "demo.settings",
            "BOARD_DATABASE": str(self.database),
            "BOARD_LAYER": f"local://{folder}/hub.sock",
        }

    def manage(self, *arguments: str) -> None:
        """Run one of Django's commands, in a process of its own."""
        subprocess.run([sys.executable, MANAGE, *arguments], check=True, env={**os.environ, **self._env})

    def in_shell(self, code: str) -> None:
        """Run code in `manage.py shell`, which knows the models by itself."""
        self.manage("shell", "--command", code)

    @contextlib.contextmanager
    def served(self) -> Iterator[Program]:
        """Run the server, and the code in a process of its own, as `make board` does."""
        address = f"127.0.0.1:{self.port}"
        with running_python(MANAGE, "runserver", address, port=self.port, env=self._env) as server:
            yield server


class Window:
    """The board in a browser of its own."""

    def __init__(self, browser: Browser, site: Site, *, width: int = 1200) -> None:
        self.context: BrowserContext = browser.new_context(viewport={"width": width, "height": 900})
        self.context.set_default_timeout(PATIENCE)
        self.page: Page = self.context.new_page()
        self.page_errors: list[str] = []
        self.sockets: list[WebSocket] = []
        self.page.on("pageerror", lambda error: self.page_errors.append(str(error)))
        self.page.on("websocket", self._listen)
        self._site = site

    def _listen(self, socket: WebSocket) -> None:
        self.sockets.append(socket)

    def open(self) -> "Window":
        self.page.goto(self._site.url)
        self.expect_live()
        expect(self.page.locator("#board")).to_have_attribute("aria-busy", "false")
        return self

    # --- what one does

    def column(self, name: str) -> Locator:
        return self.page.get_by_role("region", name=name)

    def card(self, title: str) -> Locator:
        return self.page.locator(".card").filter(has=self.page.get_by_role("button", name=title, exact=True))

    def add(self, column: str, title: str) -> None:
        field = self.page.get_by_label(f"Add a card to {column}")
        field.fill(title)
        field.press("Enter")
        expect(field).to_have_value("")

    def rename(self, title: str, to: str) -> None:
        self.card(title).locator(".title").click()
        editor = self.page.locator(".editor:focus")
        editor.fill(to)
        editor.press("Enter")

    def tick(self, title: str) -> None:
        self.page.get_by_label(f"Done: {title}").click()

    def press(self, title: str, button: str) -> None:
        """Press one of the buttons of a card, which show while the mouse is over it; the card may be moving."""
        card = self.card(title)
        for patience in (1, 2, 4, 8):
            card.hover()
            with contextlib.suppress(PlaywrightTimeout):
                card.get_by_role("button", name=button, exact=True).click(timeout=1000 * patience)
                return
        raise AssertionError(f"{button!r} of {title!r} cannot be pressed")

    def delete(self, title: str) -> None:
        self.press(title, "Delete")
        self.press(title, "Really delete")

    def cut(self) -> None:
        """Have the machine lose its network."""
        self.context.set_offline(True)

    def mend(self) -> None:
        self.context.set_offline(False)

    # --- what one sees

    def expect_cards(self, column: str, *titles: str) -> None:
        """Wait until exactly these are in a column, in this order."""
        expect(self.column(column).locator(".title")).to_have_text(list(titles))

    def expect_done(self, *titles: str) -> None:
        """Wait until exactly these are ticked."""
        expect(self.page.locator(".is-done .title")).to_have_text(list(titles))

    def expect_line(self, text: str) -> None:
        """Wait until the line at the top says so."""
        expect(self.page.locator("#connection-text")).to_have_text(text, timeout=RETURN)

    def expect_live(self) -> None:
        """Wait until there is a connection, and nothing waits."""
        self.expect_line("Live")
        expect(self.page.locator("#connection[data-waiting='0']")).to_be_visible()

    def expect_refused(self, title: str, why: str) -> None:
        expect(self.card(title).locator(".why")).to_have_text(why)
