"""What the tests of a project, and of a new layer, are written with.

The names below are the public face. Each is imported when it is first asked for: the pytest plugin stands in this
package too, and costs a test run that does not use it nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairway.testing.cases import ChannelTestCase, TransactionChannelTestCase
    from fairway.testing.client import Client
    from fairway.testing.live import ChannelLiveServerTestCase
    from fairway.testing.routes import apply_routes
    from fairway.testing.websockets import HttpClient, WSClient

_HOMES = {
    "ChannelLiveServerTestCase": "fairway.testing.live",
    "ChannelTestCase": "fairway.testing.cases",
    "Client": "fairway.testing.client",
    "HttpClient": "fairway.testing.websockets",
    "TransactionChannelTestCase": "fairway.testing.cases",
    "WSClient": "fairway.testing.websockets",
    "apply_routes": "fairway.testing.routes",
}

__all__ = [
    "ChannelLiveServerTestCase",
    "ChannelTestCase",
    "Client",
    "HttpClient",
    "TransactionChannelTestCase",
    "WSClient",
    "apply_routes",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
