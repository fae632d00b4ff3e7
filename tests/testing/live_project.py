"""A project in a folder of its own, whose tests use a live server; they are run as its developer runs them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent

import pytest

PATIENCE = 180
"""Seconds for the tests of a project."""

SETTINGS = """
from pathlib import Path

HERE = Path(__file__).parent
SECRET_KEY = "x"
USE_TZ = True
INSTALLED_APPS = ["fairway", "fairway.delay"]
INSTALLED_APPS += [f"django.contrib.{app}" for app in ("contenttypes", "auth", "sessions", "staticfiles")]
ROOT_URLCONF = "urls"
STATIC_URL = "static/"
STATICFILES_DIRS = [HERE / "assets"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": HERE / "real.sqlite3",
        "OPTIONS": {"timeout": 20},
        "TEST": {"NAME": HERE / "test.sqlite3"},
    }
}
CHANNEL_LAYERS = {"default": {"URL": "local://", "ROUTING": "routing.channel_routing"}}
GREETING = "from the file"
"""

URLS = """
from django.conf import settings
from django.http import HttpResponse
from django.urls import path



def page(request):
    assert request.get_host().startswith("localhost:") or request.get_host().startswith("127.0.0.1:")
    return HttpResponse(settings.GREETING)


urlpatterns = [path("", page)]
"""

ROUTING = """
import os

from django.conf import settings
from django.contrib.auth.models import Group as UserGroup

from fairway import Group, route


def connect(message):
    Group("all").add(message.reply_channel)
    message.reply_channel.send({"accept": True, "text": settings.GREETING})


def receive(message):
    if message["text"] == "fail":
        raise ZeroDivisionError("on purpose")
    if message["text"] == "die":
        print("last words", flush=True)
        os._exit(7)
    UserGroup.objects.create(name=message["text"])
    message.reply_channel.send({"text": ",".join(UserGroup.objects.order_by("name").values_list("name", flat=True))})


def disconnect(message):
    UserGroup.objects.get_or_create(name="left")


def later(message):
    Group("all").send({"text": message["text"]})


channel_routing = [
    route("later", later),
    route("websocket.connect", connect),
    route("websocket.receive", receive),
    route("websocket.disconnect", disconnect),
]
"""


class LiveProject:
    """A project with a test database in a file.

    Parameters:
        folder: where it is written.
        temporary: a folder with a short name.
        tests: the text of its tests.
    """

    def __init__(self, folder: Path, temporary: Path, tests: str) -> None:
        self.folder = folder
        self._temporary = temporary
        self.write("settings.py", SETTINGS)
        self.write("urls.py", URLS)
        self.write("routing.py", ROUTING)
        self.write("assets/style.css", "body { color: navy }")
        self.write("tests.py", tests)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))

    def environ(self) -> Mapping[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": os.pathsep.join([str(self.folder), os.environ.get("PYTHONPATH", "")]),
            "TMPDIR": str(self._temporary),
        }

    def left(self) -> list[Path]:
        """The folders of live servers that are left; the place of the project's own hub is none."""
        return [path for path in self._temporary.glob("fairway-*") if path.name != f"fairway-{os.getuid()}"]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-W", "error", "-m", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a module to its end; its standard error stands in its output."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=dict(self.environ()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE - 5,
            check=False,
        )


@pytest.fixture
def live_project(tmp_path: Path) -> Iterator[Callable[[str], LiveProject]]:
    """Makes the project; its argument is the text of its tests. The path of a socket must be short."""
    with tempfile.TemporaryDirectory(prefix="live-", dir="/tmp") as short:
        yield lambda tests: LiveProject(tmp_path, Path(short), tests)


def plugin_options() -> list[str]:
    """What pytest is told, so that it has our fixtures: an environment that was made earlier may not know of them."""
    found = {point.value for point in entry_points(group="pytest11")}
    return [] if "fairway.testing.plugin" in found else ["-p", "fairway.testing.plugin"]
