"""The project of the client's tests: a server and a worker apart from each other, which can go and come back."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import Program, running

SITE = Path(__file__).with_name("client_site")


class Site:
    """The project, on a port and a hub of its own."""

    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.port = port
        self._folder = folder
        # The tests have settings of their own, which a child process would inherit.
        self._env = {"CLIENT_FOLDER": str(folder), "DJANGO_SETTINGS_MODULE": "settings"}

    @contextlib.contextmanager
    def server(self) -> Iterator[Program]:
        """The sockets, without any Django."""
        layer = f"local://{self._folder}/hub.sock"
        options = ["--layer", layer, "--bind", f"127.0.0.1:{self.port}", "--drain=0", "--drain-layer=0"]
        with running([sys.executable, "-m", "fairway.cli", "serve", *options], port=self.port) as program:
            yield program
            program.stop(signal.SIGKILL)  # a gentle stop would wait for workers that are gone

    @contextlib.contextmanager
    def worker(self) -> Iterator[Program]:
        """The project's code."""
        with running([sys.executable, SITE / "manage.py", "runworker"], env=self._env, cwd=SITE) as program:
            program.wait_for_output("channels")
            yield program

    def let_go(self) -> None:
        """Let slow answers come."""
        (self._folder / "go").touch()
