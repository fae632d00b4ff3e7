"""A small Django project in a folder of its own, its `runserver` as a program, and edits that autoreload sees."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
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
    """Write a file and wait until autoreload has seen it: an edit before its first look goes unseen."""
    before = program.output().count("changed, reloading.")
    path.write_text(text)

    def seen() -> bool:
        if program.output().count("changed, reloading.") > before:
            return True
        stamp = path.stat()
        os.utime(path, (stamp.st_atime, stamp.st_mtime + 0.01))
        return False

    wait_until(seen, "the reload", PATIENCE)


def is_running(pid: int) -> bool:
    """Say whether a process works; one that has ended and that nobody has buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
