"""The delay servers that `runserver` has in its own process: one for each layer, where the project has the app."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from django.apps import apps

from fairway.conf import channel_layers
from fairway.scheduling import DELAY_APP

if TYPE_CHECKING:
    from fairway.delay.server import DelayServer


def make_delay_servers(say: Callable[[str], None], warn: Callable[[str], None]) -> Sequence["DelayServer"]:
    """Return a delay server for each layer; none where `fairway.delay` is not installed, or has no tables yet.

    Parameters:
        say: shows that they are there.
        warn: shows why they are not, though the app is.
    """
    if not apps.is_installed(DELAY_APP):
        return []
    from fairway.delay.server import DelayServer
    from fairway.delay.tables import why_not_migrated

    if reason := why_not_migrated():
        warn(f"Delayed messages are not delivered: {reason}, and start runserver again.")
        return []
    say("Delayed messages are delivered too, by a delay server in this process")
    return [DelayServer(channel_layers[alias], alias) for alias in channel_layers]
