"""What is wrong with the settings of a backend. `fairway.checks` has the list of all checks."""

from typing import TYPE_CHECKING

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004  Django's name
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from fairway.conf import channel_layers
from fairway.errors import InvalidLayerSetting, InvalidName
from fairway.routing import Router
from fairway.tasks.tickets import channels_of

if TYPE_CHECKING:
    from fairway.tasks.backend import ChannelTaskBackend

OPTIONS = ("layer", "database")


def check_backend(backend: "ChannelTaskBackend") -> list[CheckMessage]:
    """Return what is wrong with one backend."""
    problems = _problems(backend)
    if problems:
        return [Error(problem, id="fairway.E009") for problem in problems]
    missing = _unrouted(backend)
    if not missing:
        return []
    text = (
        f"TASKS[{backend.alias!r}]: no worker runs its tasks, since CHANNEL_LAYERS[{backend.layer!r}]['ROUTING'] has "
        f"no route for {', '.join(missing)}."
    )
    hint = "Add include('fairway.tasks.routing.task_routing') to it."
    return [Warning(text, hint=hint, id="fairway.W005")]


def _problems(backend: "ChannelTaskBackend") -> list[str]:
    from fairway.tasks.backend import check_installed

    where = f"TASKS[{backend.alias!r}]"
    found = [
        f"{where}['OPTIONS'] has {name!r}, which is none of {', '.join(OPTIONS)}."
        for name in backend.options
        if name not in OPTIONS
    ]
    try:
        check_installed()
    except ImproperlyConfigured as error:
        found.append(f"{error}.")
    if backend.database not in connections:
        found.append(f"{where}['OPTIONS']['database'] is {backend.database!r}, which is no alias of DATABASES.")
    try:
        channel_layers.setting(backend.layer)
    except InvalidLayerSetting as error:
        found.append(f"{where}['OPTIONS']['layer'] is {backend.layer!r}: {error}")
    try:
        channels_of(backend.queues)
    except InvalidName as error:
        found.append(f"{where}['QUEUES']: a queue gives its name to a channel, and {error}.")
    return found


def _unrouted(backend: "ChannelTaskBackend") -> list[str]:
    routing = channel_layers.setting(backend.layer).routing
    try:
        routed = Router([] if routing is None else routing).channels
    except (ImproperlyConfigured, ValueError):
        return []  # E004 says what is wrong
    return [channel for channel in channels_of(backend.queues) if channel not in routed]
