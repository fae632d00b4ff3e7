"""The tutorial of a chat with users, pasted as a reader would paste it, and tried in real browser windows."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.dev_project import edit
from tests.support.processes import ROOT, Program, free_port, running

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform == "win32", reason="system Chromium is a Debian matter")]

TUTORIAL = (ROOT / "docs" / "tutorial" / "users.md").read_text()
FILE = re.compile(r"(Write|Append to) `([^`]+)`[^\n]*:\n\n```\w+\n(.*?)```", re.DOTALL)
CONSOLE = re.compile(r"^ *```console\n(.*?)```", re.DOTALL | re.MULTILINE)
BIN = Path(sys.executable).parent


def commands() -> list[str]:
    """What the reader types, in order."""
    return [line.strip() for block in CONSOLE.findall(TUTORIAL) for line in block.splitlines()]


class Reader:
    """Somebody who does what the tutorial says, in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "mysite"
        self.port = free_port()
        self.env = {"PATH": f"{BIN}:{os.environ['PATH']}"}
        self.run("django-admin startproject mysite", cwd=folder)
        for what, name, text in FILE.findall(TUTORIAL):
            path = self.project / name
            path.parent.mkdir(exist_ok=True)
            with path.open("a" if what == "Append to" else "x") as file:
                file.write(text)
        self.run("python manage.py migrate")

    def run(self, command: str, cwd: Path | None = None) -> None:
        assert command in commands()
        subprocess.run(shlex.split(command), cwd=cwd or self.project, env={**os.environ, **self.env}, check=True)

    def running(self, command: str, *arguments: str):
        assert command in commands()
        return running([*shlex.split(command), *arguments], port=self.port, env=self.env, cwd=self.project)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)  # the tests' own
    return Reader(tmp_path)


@pytest.fixture
def program(reader: Reader) -> Iterator[Program]:
    with reader.running("python manage.py runserver", str(reader.port)) as program:
        yield program
        assert "Traceback" not in program.output(), program.output()


def sign_up(browser: Browser, reader: Reader, name: str) -> Page:
    page = browser.new_context().new_page()
    page.goto(reader.url)
    page.get_by_role("link", name="sign up").click()
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password:").fill("correct horse battery")
    page.get_by_label("Password confirmation").fill("correct horse battery")
    page.get_by_role("button", name="Go on").click()
    return log_in(page, name)


def log_in(page: Page, name: str) -> Page:
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#log")).to_contain_text(f"* {name} came in")
    return page


def say(page: Page, text: str) -> None:
    page.locator("#line").fill(text)
    page.locator("#line").press("Enter")


def test_the_chat_with_users_works_when_pasted(reader, program, browser) -> None:
    ada = sign_up(browser, reader, "ada")
    grace = sign_up(browser, reader, "grace")
    say(ada, "Hello <b>Grace</b>")
    say(grace, "Hello Ada")
    expect(ada.locator("#log")).to_have_text(
        "* ada came in\n* grace came in\nyou: Hello <b>Grace</b>\ngrace: Hello Ada\n"
    )
    expect(grace.locator("#log")).to_have_text("* grace came in\nada: Hello <b>Grace</b>\nyou: Hello Ada\n")

    other_tab = grace.context.new_page()
    other_tab.goto(reader.url)
    expect(other_tab.locator("#log")).to_have_text("* grace came in\n")
    grace.get_by_role("button", name="Log out").click()
    expect(other_tab.locator("#log")).to_contain_text("* disconnected: logged out")
    expect(ada.locator("#log")).to_contain_text("* grace left; lines said: 1")
    refusal = grace.evaluate("new Promise(r => { new WebSocket(`ws://${location.host}/ws/lobby/`).onclose = r })")
    assert refusal is not None
    assert "WebSocket REJECT /ws/lobby/" in program.output()

    consumers = reader.project / "mysite" / "consumers.py"
    edit(program, consumers, consumers.read_text().replace("'you' if", "'myself' if"))
    say(ada, "Still here")
    expect(ada.locator("#log")).to_contain_text("myself: Still here")
    reader.run(next(command for command in commands() if "disconnect_user" in command))
    expect(ada.locator("#log")).to_contain_text("* disconnected: enough")


def test_and_with_workers_of_its_own(reader, browser) -> None:
    with reader.running("fairway up --workers 2", "-b", f"127.0.0.1:{reader.port}") as program:
        ada = sign_up(browser, reader, "ada")
        say(ada, "Hello")
        expect(ada.locator("#log")).to_contain_text("you: Hello")
        ada.get_by_role("button", name="Log out").click()
        log_in(ada, "ada")
        assert "Traceback" not in program.output(), program.output()


def test_it_is_as_short_as_it_says() -> None:
    """Under sixty lines, without the blank ones."""
    lines = [line for _, _, text in FILE.findall(TUTORIAL) for line in text.splitlines() if line.strip()]
    assert 40 < len(lines) < 60
