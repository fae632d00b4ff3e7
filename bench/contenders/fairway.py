"""Fairway as two contenders, both with `bench/apps/fairway`.

What a measurement needs to know about starting Fairway is in `_start` below; the application is in the project.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from typing import Any

from bench.contenders.base import DjangoContender, Running


class _Fairway(DjangoContender):
    app = "fairway"
    modules = ("django", "fairway", "uvloop", "httptools", "websockets")
    distributions = ("fairway", "Django", "uvloop", "httptools", "websockets")


class Fairway(_Fairway):
    """`manage.py runserver`: interface server, memory layer and worker threads in one process."""

    key = "fairway"
    title = "Fairway (runserver, memory layer)"

    def _start(self, running: Running, extra: Mapping[str, str]) -> None:
        argv = [sys.executable, "manage.py", "runserver", "--noreload", str(running.port)]
        self._launch(running, "server", argv, cwd=self.project, env={**self.env, **extra})


class FairwayHub(_Fairway):
    """As it runs in production on one host: `fairway serve`, which holds the hub, and one `manage.py runworker`."""

    key = "fairway-hub"
    title = "Fairway (serve + runworker, hub)"

    def missing(self) -> str:
        """Name the packages, or the program that this checkout does not have."""
        return super().missing() or (
            "" if importlib.util.find_spec("fairway.cli") else "this Fairway has no `fairway serve`"
        )

    @property
    def layer(self) -> str:
        """The URL of the hub."""
        return f"local://{self.folder}/hub.sock"

    def _start(self, running: Running, extra: Mapping[str, str]) -> None:
        self.start_server(running, running.port)
        self.start_worker(running, "worker", extra=extra)

    def start_server(self, running: Running, port: int, *, notify: int | None = None) -> None:
        """Start the interface server; it says on the descriptor `notify` when it is ready."""
        argv = [sys.executable, "-m", "fairway.cli", "serve", "--layer", self.layer, "--bind", f"127.0.0.1:{port}"]
        # At the end of a measurement nobody has the time to see the sockets closed one by one.
        argv += ["--access-log", "off", "--drain", "0"]
        self._launch(running, "server", argv, cwd=self.folder, **_notified(notify))

    def start_worker(
        self, running: Running, name: str, *, notify: int | None = None, extra: Mapping[str, str] | None = None
    ) -> None:
        """Start a worker process; it says on the descriptor `notify` when it is ready."""
        env = {**self.env, "BENCH_LAYER": self.layer, **(extra or {})}
        argv = [sys.executable, "manage.py", "runworker"]
        self._launch(running, name, argv, cwd=self.project, **_notified(notify, env))


def _notified(descriptor: int | None, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    if descriptor is None:
        return {"env": env}
    return {"env": {**(env or {}), "FAIRWAY_NOTIFY_FD": str(descriptor)}, "descriptors": [descriptor]}
