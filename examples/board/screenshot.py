#!/usr/bin/env python
"""Make the pictures of the documentation: the same board in two windows, by day and by night.

    python screenshot.py [directory]        # docs/_static of the checkout, if none is named

Needs `fairway[server]`, Playwright for Python, and a Chromium on the PATH. It uses a database, a layer and a port of
its own.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).resolve().parent
PICTURES = HERE.parent.parent / "docs" / "_static"
VIEWS = [("board", "light"), ("board-dark", "dark")]  # name of the picture, in which light
FULL = [f"Paint the boot top, coat {number}" for number in range(1, 6)]
"""One more card than the column takes."""
BROWSER_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def manage(*arguments: str) -> list[str]:
    """Return the command line of one of Django's commands."""
    return [sys.executable, str(HERE / "manage.py"), *arguments]


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Run the demo, and give its address once it answers."""
    subprocess.run(manage("migrate", "--verbosity", "0"), check=True)
    subprocess.run(manage("demo"), check=True, stdout=subprocess.DEVNULL)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = manage("runserver", "--noreload", f"127.0.0.1:{port}")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 20
            while server.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()


def look(browser: Browser, address: str, scheme: str) -> Page:
    """Open a window."""
    page = browser.new_page(
        viewport={"width": 1180, "height": 784}, device_scale_factor=2, color_scheme=scheme, reduced_motion="reduce"
    )
    page.goto(address)
    page.wait_for_selector("#board[aria-busy=false]")
    return page


def fill(page: Page) -> None:
    """Add cards until the server refuses one, then leave it all alone."""
    for title in FULL:
        field = page.get_by_label("Add a card to On deck")
        field.fill(title)
        field.press("Enter")
    page.wait_for_selector(".is-refused")
    page.evaluate("document.activeElement.blur()")


def main() -> None:
    """Make the pictures."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES
    target.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("There is no Chromium on the PATH: sudo apt-get install chromium")
    with tempfile.TemporaryDirectory() as directory:
        os.environ["BOARD_DATABASE"] = str(Path(directory) / "board.sqlite3")
        os.environ["BOARD_LAYER"] = "memory://"
        with (
            serving() as address,
            sync_playwright() as playwright,
            playwright.chromium.launch(executable_path=chromium, args=BROWSER_OPTIONS) as browser,
        ):
            windows = {picture: look(browser, address, scheme) for picture, scheme in VIEWS}
            fill(windows["board"])
            expected = f".card:has-text('{FULL[-2]}')"
            for picture, page in windows.items():
                page.wait_for_selector(expected)
                page.screenshot(path=target / f"{picture}.png")
                print(target / f"{picture}.png")


if __name__ == "__main__":
    main()
