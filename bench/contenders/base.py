"""What all contenders share: a folder of their own, commands, a running form; a database for the Django ones."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar

from bench.client import connections
from bench.errors import BenchError
from bench.messages import End
from bench.plan import SERVERS, Shape
from bench.processes import Accounts, Process

ROOT = Path(__file__).resolve().parents[2]
APPS = ROOT / "bench" / "apps"
START_TIMEOUT = 30.0
# The Fairway of the checkout that this bench belongs to, wherever another one is installed.
PYTHONPATH = f"{ROOT / 'src'}:{ROOT}"


@dataclass
class Running:
    """A started contender: where its servers listen, its processes, the cookie of the user who is logged in."""

    ports: list[int]
    processes: list[Process] = field(default_factory=list)
    cookie: str = ""
    ends: list[End] = field(default_factory=list)
    """Of a layer alone: the sender and the receiver. Of a delay server: the scheduler."""
    arrivals: socket.socket | None = None
    """Of a delay server: where a worker says what has come."""

    @property
    def port(self) -> int:
        """Where the first server listens."""
        return self.ports[0]

    def accounts(self) -> Accounts:
        """Account for the processes that exist now."""
        return Accounts(self.processes)

    def accounts_of(self, name: str) -> Accounts:
        """Account for one process and its descendants."""
        return Accounts([process for process in self.processes if process.name.endswith(f" {name}")])

    def stop(self) -> None:
        """End all processes, the last one started first; go on with the others when one resists."""
        errors = []
        for process in reversed(self.processes):
            try:
                process.stop()
            except (OSError, subprocess.SubprocessError) as error:
                errors.append(f"{process.name}: {error}")
        self.processes.clear()
        for end in self.ends:
            end.close()
        self.ends.clear()
        if self.arrivals:
            self.arrivals.close()
        if errors:
            raise BenchError("could not end " + "; ".join(errors))


class Contender(ABC):
    """One way to do the work."""

    key: ClassVar[str]
    title: ClassVar[str]
    modules: ClassVar[Sequence[str]] = ()
    distributions: ClassVar[Sequence[str]] = ()
    cookie = ""  # Of the user who is logged in.

    def __init__(self, folder: Path) -> None:
        """Use `folder` for the database, sockets and logs."""
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)

    def missing(self) -> str:
        """Return what has to be installed first, or nothing."""
        absent = [name for name in self.modules if importlib.util.find_spec(name) is None]
        return f"not installed: {', '.join(absent)}" if absent else ""

    def does(self, shape: Shape) -> bool:
        """Whether the shape is for this contender."""
        return self.key in shape.contenders

    def versions(self) -> dict[str, str]:
        """Return the versions of what is measured."""
        found = {}
        for name in self.distributions:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = "from this checkout"
        return found

    def prepare(self) -> None:  # noqa: B027 - most contenders need nothing
        """Do once a run, before the first start."""

    def start(self, extra: Mapping[str, str] | None = None) -> Running:
        """Start all processes, with `extra` in their environment, and wait until the whole chain answers."""
        extra = extra or {}
        running = Running([free_port() for _ in range(int(extra.get(SERVERS, 1)))], cookie=self.cookie)
        try:
            self._start(running, extra)
            self._await(running)
        except BaseException:
            running.stop()
            raise
        return running

    @abstractmethod
    def _start(self, running: Running, extra: Mapping[str, str]) -> None:
        """Start all processes."""

    def _launch(
        self,
        running: Running,
        name: str,
        argv: Sequence[str],
        *,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> Process:
        process = Process(
            f"{self.key} {name}",
            argv,
            cwd=cwd,
            env={"PYTHONPATH": PYTHONPATH, **(env or {})},
            log=self.folder / f"{name}.log",
            descriptors=descriptors,
        )
        running.processes.append(process)
        return process

    def _await(self, running: Running) -> None:
        """Wait until the chain answers: a listening socket alone is not enough."""
        deadline = time.monotonic() + START_TIMEOUT
        for port in running.ports:
            while not self._answers(running, port):
                if time.monotonic() > deadline:
                    server = running.processes[-1]
                    raise BenchError(f"{server.name} does not answer:\n{server.log_tail()}")
                time.sleep(0.05)

    def _answers(self, running: Running, port: int) -> bool:
        try:
            self._try(port)
        except (ConnectionError, TimeoutError):
            for process in running.processes:
                process.check()
            return False
        except BenchError:
            for process in running.processes:
                process.check()  # One that has died tells more than the answer of the others.
            raise
        return True

    def _try(self, port: int) -> None:
        """Open a WebSocket."""
        with connections([port], ["/echo/"]):
            pass


class DjangoContender(Contender):
    """A contender with a Django project in `bench/apps/<app>`."""

    app: ClassVar[str]

    @property
    def project(self) -> Path:
        """The folder of the project."""
        return APPS / self.app

    @property
    def env(self) -> dict[str, str]:
        """What the project's settings read, and nothing of the caller's own Django."""
        return {
            "PYTHONPATH": PYTHONPATH,
            "DJANGO_SETTINGS_MODULE": f"bench.apps.{self.app}.settings",
            "BENCH_FOLDER": str(self.folder),
        }

    def prepare(self) -> None:
        """Build the database; log a user in."""
        self._manage("migrate", "--run-syncdb", "--verbosity", "0")
        self.cookie = f"sessionid={self._manage('prepare_bench').strip()}"

    def _manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.project,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"{self.key}: manage.py {arguments[0]} failed:\n{done.stderr[-2000:]}")
        return done.stdout


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
