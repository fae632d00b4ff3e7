"""Fairway as contenders, all with `bench/apps/fairway`: in one process, with a hub, with joined hubs, with Redis alone.

What a measurement needs to know about starting Fairway is in `_start` below; the application is in the project.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from bench.contenders.base import DjangoContender, Running, free_port
from bench.contenders.redis import WithRedis


class _Fairway(DjangoContender):
    app = "fairway"
    modules: ClassVar[Sequence[str]] = ("django", "fairway", "uvloop", "httptools", "websockets")
    distributions: ClassVar[Sequence[str]] = ("fairway", "Django", "uvloop", "httptools", "websockets")


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
    worker_options: ClassVar[Sequence[str]] = ()

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

    def start_server(
        self,
        running: Running,
        port: int,
        name: str = "server",
        *,
        layer: str = "",
        notify: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start an interface server; it says on the descriptor `notify` when it is ready."""
        layer = layer or self.layer
        argv = [sys.executable, "-m", "fairway.cli", "serve", "--layer", layer, "--bind", f"127.0.0.1:{port}"]
        # At the end of a measurement nobody has the time to see the sockets closed one by one.
        argv += ["--access-log", "off", "--drain", "0"]
        self._launch(running, name, argv, cwd=self.folder, **_notified(notify, env))

    def start_worker(
        self,
        running: Running,
        name: str,
        *,
        layer: str = "",
        notify: int | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """Start a worker process; it says on the descriptor `notify` when it is ready."""
        env = {**self.env, "BENCH_LAYER": layer or self.layer, **(extra or {})}
        argv = [sys.executable, "manage.py", "runworker", *self.worker_options]
        self._launch(running, name, argv, cwd=self.project, **_notified(notify, env))


class FairwayRedis(WithRedis, FairwayHub):
    """Redis alone between servers and one worker process."""

    key = "fairway-redis"
    title = "Fairway (serve + runworker, Redis)"

    @property
    def layer(self) -> str:
        """The URL of the Redis."""
        return f"redis+unix://{self.redis_socket}?prefix=bench"

    def _start(self, running: Running, extra: Mapping[str, str]) -> None:
        self.start_redis(running)
        for number, port in enumerate(running.ports):
            # Each server stands for one on a host of its own, where it has the runtime folder for itself.
            host = self.folder / f"host-{number}"
            host.mkdir(mode=0o700, exist_ok=True)
            self.start_server(running, port, f"server-{number}", env={"XDG_RUNTIME_DIR": str(host)})
        self.start_worker(running, "worker", extra=extra)


class FairwayJoined(WithRedis, FairwayHub):
    """Hubs joined through a Redis, each with a worker process; at least two, of which one may have nothing to do."""

    key = "fairway-joined"
    title = "Fairway (serve + runworker, joined hubs)"

    def _start(self, running: Running, extra: Mapping[str, str]) -> None:
        self.start_redis(running)
        upstream = quote(f"redis+unix://{self.redis_socket}?prefix=bench", safe="")
        ports = running.ports if len(running.ports) > 1 else [running.port, free_port()]
        for number, port in enumerate(ports):
            hub = f"local://{self.folder}/hub-{number}.sock"
            self.start_server(running, port, f"server-{number}", layer=f"{hub}?upstream={upstream}")
            self.start_worker(running, f"worker-{number}", layer=hub, extra=extra)


def _notified(descriptor: int | None, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    if descriptor is None:
        return {"env": env}
    return {"env": {**(env or {}), "FAIRWAY_NOTIFY_FD": str(descriptor)}, "descriptors": [descriptor]}
