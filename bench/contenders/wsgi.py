"""WSGI servers, for the HTTP shapes: gunicorn and granian, one worker process each, as many threads as Fairway's."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from bench.contenders.base import DjangoContender, Running
from bench.views import check_view
from fairway.worker.loop import default_threads

APPLICATION = "bench.apps.plain.wsgi:application"


class _Wsgi(DjangoContender):
    app = "plain"

    def prepare(self) -> None:
        """Do nothing: the view asks no database."""

    def _start(self, running: Running, extra: Mapping[str, str]) -> None:
        argv = [sys.executable, *self._server(running.port, str(default_threads()))]
        self._launch(running, "server", argv, cwd=self.folder, env={**self.env, **extra})

    def _try(self, port: int) -> None:
        check_view(port, "/ok/")

    def _server(self, port: int, threads: str) -> list[str]:
        raise NotImplementedError


class Gunicorn(_Wsgi):
    """gunicorn with threads."""

    key = "gunicorn"
    title = "gunicorn gthread"
    modules = ("django", "gunicorn")
    distributions = ("gunicorn", "Django")

    def _server(self, port: int, threads: str) -> list[str]:
        options = ["--worker-class", "gthread", "--workers", "1", "--threads", threads, "--bind", f"127.0.0.1:{port}"]
        return ["-m", "gunicorn", *options, "--log-level", "warning", "--no-control-socket", APPLICATION]


class Granian(_Wsgi):
    """granian, whose HTTP is in Rust."""

    key = "granian"
    title = "granian WSGI"
    modules = ("django", "granian")
    distributions = ("granian", "Django")

    def _server(self, port: int, threads: str) -> list[str]:
        options = ["--interface", "wsgi", "--workers", "1", "--blocking-threads", threads, "--port", str(port)]
        return ["-m", "granian", "--host", "127.0.0.1", *options, "--log-level", "warning", APPLICATION]
