"""A client for scripts and tests: requests, subscriptions and streams over one socket that comes back by itself.

It speaks what `fairway.rohrpost` and a demultiplexer understand, with the verbs of the browser client. It knows no
Django: a script without a project may use it.

* `client` is what a script holds; `link` is the connection, by the tables of `closing` and `machine`.
* `requests` are on their way, `subscriptions` outlive a connection, `streams` and `feeds` hold what comes unasked.
* `frames` reads and writes JSON, `sockets` knows `websockets`.
"""

from typing import TYPE_CHECKING

from fairway.lazy import lazy_names

if TYPE_CHECKING:
    from fairway.client.client import Client, connect
    from fairway.client.closing import Closing
    from fairway.client.feeds import Feed, Overflow
    from fairway.client.frames import Push
    from fairway.client.link import Try
    from fairway.client.streams import Stream
    from fairway.client.subscriptions import Subscription
    from fairway.limits import ClientLimits

__all__ = [
    "Client",
    "ClientLimits",
    "Closing",
    "Feed",
    "Overflow",
    "Push",
    "Stream",
    "Subscription",
    "Try",
    "connect",
]

_HOMES = {
    "Client": "fairway.client.client",
    "ClientLimits": "fairway.limits",
    "Closing": "fairway.client.closing",
    "Feed": "fairway.client.feeds",
    "Overflow": "fairway.client.feeds",
    "Push": "fairway.client.frames",
    "Stream": "fairway.client.streams",
    "Subscription": "fairway.client.subscriptions",
    "Try": "fairway.client.link",
    "connect": "fairway.client.client",
}

__getattr__, __dir__ = lazy_names(globals(), _HOMES)
