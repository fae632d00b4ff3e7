"""Real `fairway` programs, a project beside them, and what a test asks them."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairway.supervisor.control import ask
from tests.support.processes import Program, free_port, running
from tests.support.waiting import wait_until

MANAGE = Path(__file__).with_name("project_manage.py")
FAIRWAY = [sys.executable, "-m", "fairway.cli"]


class Project:
    """A folder with `manage.py`, a hub's path, and a port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.hub = folder / "hub.sock"
        self.url = f"local://{self.hub}"
        shutil.copy(MANAGE, folder / "manage.py")
        self.print_layer(self.url)
        self.deploy("echo one")

    def print_layer(self, url: str, alias: str = "default") -> None:
        """Let `manage.py` say that the project's layer is this."""
        self._tell({"alias": alias, "backend": "fairway.layers.LocalLayer", "url": url})

    def have_delay(self, *, installed: bool) -> None:
        """Let `manage.py` say whether the project has `fairway.delay`."""
        content = json.loads((self.folder / "layer.json").read_text())
        self._tell({**content, "delay": installed})

    def _tell(self, content: dict[str, Any]) -> None:
        (self.folder / "layer.json").write_text(json.dumps(content))

    def deploy(self, behaviour: str) -> None:
        """Put new code there; nobody is told."""
        (self.folder / "behaviour.txt").write_text(behaviour)

    @contextlib.contextmanager
    def serve(self, *options: str, ready: str = "serving") -> Iterator[Program]:
        """A running `fairway serve`."""
        arguments = [*FAIRWAY, "serve", "--layer", self.url, "--bind", f"127.0.0.1:{self.port}", "--drain=0", *options]
        with running(arguments, cwd=self.folder) as program:
            program.wait_for_output(ready)
            yield program

    @contextlib.contextmanager
    def worker(self, **environ: str) -> Iterator[Program]:
        """A running worker, with no supervisor."""
        with running(
            [sys.executable, self.folder / "manage.py", "runworker"], env={**os.environ, **environ}
        ) as program:
            program.wait_for_output("arguments:")
            yield program

    def fairway(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A `fairway` command, run to its end."""
        return subprocess.run(
            [*FAIRWAY, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=40, check=False
        )

    def status(self) -> dict[str, Any]:
        """What runs, asked at the control socket."""
        return dict(list(ask(f"{self.hub}.ctl", "status", 10))[-1])

    def kill_server(self) -> None:
        """Kill a server that outlived its supervisor, as servers do."""
        with contextlib.suppress(OSError):
            *_, left = ask(f"{self.hub}.server.ctl", "status", 5)
            os.kill(left["pid"], signal.SIGKILL)
            wait_gone(left["pid"])

    @property
    def ws(self) -> str:
        """The address of a WebSocket."""
        return f"ws://127.0.0.1:{self.port}/"

    def get(self, path: str = "/") -> tuple[int, str]:
        """Status and body of a page."""
        return get(f"http://127.0.0.1:{self.port}{path}")


def get(url: str) -> tuple[int, str]:
    """Status and body of a page."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_gone(pid: int) -> None:
    """Wait until a process has ended."""
    wait_until(lambda: not is_alive(pid), f"the end of process {pid}", 20)
