#!/usr/bin/env python
"""Make the pictures of the documentation: three people in a room, by day and by night.

    python screenshot.py [directory]        # docs/_static of the checkout, if none is named

Needs `fairway[server]`, Playwright for Python, and a Chromium on the PATH. It uses a database and a port of its own.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).resolve().parent
PICTURES = HERE.parent.parent / "docs" / "_static"
TALK = [  # minutes ago, name, text
    (26, "Grace Hopper", "Morning! Did the deploy go out last night?"),
    (24, "Ada Lovelace", "Twice. Nobody noticed, which was the point."),
    (24, "Ada Lovelace", "All 1,200 sockets stayed open while the workers were replaced."),
    (21, "Grace Hopper", "Not one reconnect? I had a whole apology ready."),
    (9, "Alan Turing", "I watched the graph. It is the most boring line I have ever seen 🙂"),
    (4, "Grace Hopper", "Then we leave the harbour master's office to the machine, and have breakfast."),
    (1, "Ada Lovelace", "On my way. Who brings the charts?"),
]
BROWSER_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def write_the_talk() -> None:
    """Fill the database; a picture of a talk needs some minutes between the messages."""
    import django

    django.setup()
    from chat.models import Message
    from django.core.management import call_command
    from django.utils import timezone

    call_command("migrate", verbosity=0)
    for minutes, name, text in TALK:
        message = Message.objects.create(room="harbour", name=name, text=text, ref=uuid.uuid4())
        Message.objects.filter(pk=message.pk).update(sent=timezone.now() - timedelta(minutes=minutes))


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Run the demo, and give its address once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, HERE / "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
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


def enter(browser: Browser, address: str, name: str, scheme: str) -> Page:
    """Open a window for somebody, and go into the room."""
    # It is morning in the pictures, whenever they are made: a fixed zone in which it is nine o'clock or so.
    ahead = (9 - datetime.now(UTC).hour + 12) % 24 - 12
    page = browser.new_page(
        viewport={"width": 1180, "height": 784},
        device_scale_factor=2,
        color_scheme=scheme,
        locale="en-GB",
        timezone_id=f"Etc/GMT{-ahead:+d}",
    )
    page.goto(address)
    page.get_by_label("Your name").fill(name)
    page.get_by_role("textbox", name="Room").fill("harbour")
    page.get_by_role("button", name="Enter the room").click()
    page.wait_for_selector("[data-state=open]")
    return page


def main() -> None:
    """Make the pictures."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES
    target.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("There is no Chromium on the PATH: sudo apt-get install chromium")
    with tempfile.TemporaryDirectory() as directory:
        os.environ["CHAT_DATABASE"] = str(Path(directory) / "chat.sqlite3")
        os.environ["DJANGO_SETTINGS_MODULE"] = "demo.settings"
        write_the_talk()
        with (
            serving() as address,
            sync_playwright() as playwright,
            playwright.chromium.launch(executable_path=chromium, args=BROWSER_OPTIONS) as browser,
        ):
            people = [("Alan Turing", "light"), ("Grace Hopper", "dark"), ("Ada Lovelace", "light")]
            pages = [enter(browser, address, name, scheme) for name, scheme in people]
            for page in pages:
                page.wait_for_function("document.querySelectorAll('#members .member').length === 3")
                page.evaluate("document.querySelectorAll('.quiet').forEach((line) => line.remove())")
            pages[2].screenshot(path=target / "chat.png")
            pages[1].screenshot(path=target / "chat-dark.png")
    print(target / "chat.png", target / "chat-dark.png")


if __name__ == "__main__":
    main()
