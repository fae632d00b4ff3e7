"""The project in tests/views/site as it is run on a host, or in development."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import ROOT, Program, free_port, running

PROJECT = ROOT / "tests" / "views" / "site"


class ViewSite:
    """The project, on a port and with a folder of its own.

    Parameters:
        folder: an empty one with a short path, because the hub's socket lies there.
        layer: the URL of a Redis that takes the place of the hub.
    """

    def __init__(self, folder: Path, layer: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self._layer = layer or f"local://{folder}/hub.sock"
        # The tests have settings of their own, which a child process would inherit.
        self._env = {
            "VIEWS_FOLDER": str(folder),
            "VIEWS_LAYER": self._layer,
            "DJANGO_SETTINGS_MODULE": "settings",
        }

    def url(self, path: str, scheme: str = "ws") -> str:
        """The address of a path."""
        return f"{scheme}://127.0.0.1:{self.port}/{path}"

    @contextlib.contextmanager
    def serve(self) -> Iterator[Program]:
        """A running `fairway serve`, which soon notices that a client is gone."""
        options = ["--layer", self._layer, "--bind", f"127.0.0.1:{self.port}", "--drain=0", "--drain-layer=0"]
        with running([sys.executable, "-m", "fairway.cli", "serve", *options], port=self.port) as program:
            yield program

    @contextlib.contextmanager
    def worker(self, *options: str) -> Iterator[Program]:
        """A running worker."""
        command = [sys.executable, "manage.py", "runworker", "--threads=2", *options]
        with running(command, env=self._env, cwd=PROJECT) as program:
            program.wait_for_output("channels: ")
            yield program

    @contextlib.contextmanager
    def runserver(self, *options: str) -> Iterator[Program]:
        """A running development server."""
        command = [sys.executable, "manage.py", "runserver", f"127.0.0.1:{self.port}", *options]
        with running(command, env=self._env, cwd=PROJECT) as program:
            program.wait_for_output("Quit the server", 60)
            program.port = self.port
            program.wait_for_port()
            yield program

    def ended(self) -> list[int]:
        """The processes whose views have ended, one for each view."""
        noted = self.folder / "ended"
        return [int(line) for line in noted.read_text().splitlines()] if noted.exists() else []
