"""A small Django project in a folder of its own, its `runserver` as a program, and edits that autoreload sees."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from textwrap import dedent

from websockets.sync.client import ClientConnection, connect

from tests.support.processes import Program, free_port, running
from tests.support.waiting import wait_until

PATIENCE = 30.0
"""Seconds for a process to start on a busy machine."""

SETTINGS = """
SECRET_KEY = "x"
DEBUG = True
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["fairway", "django.contrib.staticfiles"]
STATIC_URL = "static/"
STATICFILES_DIRS = [__file__.replace("settings.py", "assets")]
ROOT_URLCONF = "urls"
USE_TZ = True
CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": "routing.channel_routing"}}
"""
FILES = {
    "settings.py": SETTINGS,
    "urls.py": """
        from django.http import HttpResponse
        from django.urls import path
        urlpatterns = [path("", lambda request: HttpResponse("a page"))]
    """,
    "routing.py": """
        from django.urls import path
        def echo(message):
            if message.channel.name == "websocket.connect":
                message.reply_channel.send({"accept": True})
            elif message.channel.name == "websocket.receive":
                message.reply_channel.send({"text": "first " + message["text"]})
        channel_routing = [path("echo/", echo)]
    """,
    "assets/style.css": "body { color: navy }",
}


class Project:
    """A project that answers `a page` at `/`, and at `/echo/` what a socket says, with a word before it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))

    def edit(self, program: Program, name: str, text: str) -> None:
        edit(program, self.directory / name, dedent(text))

    def begin_edit(self, program: Program, name: str, text: str) -> None:
        begin_edit(program, self.directory / name, dedent(text))

    def environ(self) -> Mapping[str, str]:
        return {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(self.directory)}

    def run(self, *arguments: str) -> AbstractContextManager[Program]:
        warnings = ("-W", "error", "-W", "ignore::ResourceWarning")
        command = [sys.executable, *warnings, "-m", "django", "runserver", f"127.0.0.1:{self.port}", *arguments]
        return running(command, env=self.environ(), cwd=self.directory)

    def get(self, path: str = "/") -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ""

    def connect(self, path: str = "/echo/") -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}{path}", open_timeout=PATIENCE)


def edit(program: Program, path: Path, text: str) -> None:
    """Write a file and wait until the process with the old code has ended: until then it may answer.

    A process that began before the write is what has to end; a reload that an earlier edit still brings about may end
    it as well, and what starts next has the new code all the same.
    """
    path.write_text(text)
    seen: set[int] = set()
    is_reloading = reload_watch(program)

    def ended() -> bool:
        seen.update(descendants(program.pid))
        if not all(map(is_running, seen)):
            return True
        if not is_reloading():
            touch_again(path)
        return False

    wait_until(ended, "the end of the old code", PATIENCE)


def begin_edit(program: Program, path: Path, text: str) -> None:
    """Write a file and wait until autoreload has seen it; the process with the old code may still be stopping."""
    is_reloading = reload_watch(program)
    path.write_text(text)

    def seen() -> bool:
        if is_reloading():
            return True
        touch_again(path)
        return False

    wait_until(seen, "the reload", PATIENCE)


def reload_watch(program: Program) -> Callable[[], bool]:
    """Return what says whether autoreload has seen a change since now."""
    before = program.output().count("changed, reloading.")
    return lambda: program.output().count("changed, reloading.") > before


def touch_again(path: Path) -> None:
    """Make a file newer than it is: an edit before autoreload's first look goes unseen."""
    stamp = path.stat()
    os.utime(path, (stamp.st_atime, stamp.st_mtime + 0.01))


def descendants(pid: int) -> set[int]:
    """Return the processes that a process has started, and theirs."""
    try:
        found = set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return found.union(*map(descendants, found))


def is_running(pid: int) -> bool:
    """Say whether a process works; one that has ended and that nobody has buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
