"""The echo in views that own their sockets, with a hub and one worker process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bench.contenders.fairway import FairwayHub
from bench.plan import URLS


class View(FairwayHub):
    """A blocking view: a thread for each socket."""

    key = "view-hub"
    title = "Fairway, blocking views (serve + runworker, hub)"
    urls = "bench.apps.fairway.views"
    worker_options: ClassVar[Sequence[str]] = ("--view-threads=200",)

    @property
    def env(self) -> dict[str, str]:
        """Name the URLconf."""
        return {**super().env, URLS: self.urls}


class AsyncView(View):
    """A coroutine view: one event loop."""

    key = "aview-hub"
    title = "Fairway, coroutine views (serve + runworker, hub)"
    urls = "bench.apps.fairway.async_views"
