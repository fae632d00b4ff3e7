"""The routes of all queues, for a project's routing: ``include("fairway.tasks.routing.task_routing")``.

They follow from the setting `TASKS` and are made when they are asked for.
"""

from typing import Any

from fairway.routing import Route, route
from fairway.tasks.tickets import channels_of


def __getattr__(name: str) -> Any:
    if name == "task_routing":
        return make_routes()
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def make_routes() -> list[Route]:
    """Return a route for the queues of each backend of ours that `TASKS` names."""
    from fairway.tasks.backend import ChannelTaskBackend
    from fairway.tasks.consumers import consume_ticket
    from fairway.tasks.framework import task_backends

    ours = [backend for backend in task_backends.all() if isinstance(backend, ChannelTaskBackend)]
    channels = {channel for backend in ours for channel in channels_of(backend.queues)}
    return [route(sorted(channels), consume_ticket)] if channels else []
