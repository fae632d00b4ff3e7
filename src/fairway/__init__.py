"""Fairway, the realtime layer for Django.

The names below are the public face. Each is imported when it is first asked for, so `import fairway` configures
nothing and pulls in no Django.
"""

from typing import TYPE_CHECKING

from fairway.lazy import lazy_names

if TYPE_CHECKING:
    from fairway.channel import Channel, Group
    from fairway.conf import channel_layers
    from fairway.message import Message
    from fairway.routing import include, route, route_class

__version__ = "0.1.0.dev0"

DEFAULT_CHANNEL_LAYER = "default"
"""The alias that is meant wherever none is named."""

_HOMES = {
    "Channel": "fairway.channel",
    "Group": "fairway.channel",
    "Message": "fairway.message",
    "channel_layers": "fairway.conf",
    "include": "fairway.routing",
    "route": "fairway.routing",
    "route_class": "fairway.routing",
}

__all__ = [
    "DEFAULT_CHANNEL_LAYER",
    "Channel",
    "Group",
    "Message",
    "__version__",
    "channel_layers",
    "include",
    "route",
    "route_class",
]

__getattr__, __dir__ = lazy_names(globals(), _HOMES)
