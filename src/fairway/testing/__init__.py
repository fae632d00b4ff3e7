"""What the tests of a project, and of a new layer, are written with.

The names below are the public face. Each is imported when it is first asked for: the pytest plugin stands in this
package too, and costs a test run that does not use it nothing.
"""

from typing import TYPE_CHECKING

from fairway.lazy import lazy_names

if TYPE_CHECKING:
    from fairway.testing.cases import ChannelTestCase, TransactionChannelTestCase
    from fairway.testing.client import Client
    from fairway.testing.live import ChannelLiveServerTestCase
    from fairway.testing.rohrpost import RecordingConsumer
    from fairway.testing.routes import apply_routes
    from fairway.testing.views import ViewClient
    from fairway.testing.websockets import HttpClient, WSClient

_HOMES = {
    "ChannelLiveServerTestCase": "fairway.testing.live",
    "ChannelTestCase": "fairway.testing.cases",
    "Client": "fairway.testing.client",
    "HttpClient": "fairway.testing.websockets",
    "RecordingConsumer": "fairway.testing.rohrpost",
    "TransactionChannelTestCase": "fairway.testing.cases",
    "ViewClient": "fairway.testing.views",
    "WSClient": "fairway.testing.websockets",
    "apply_routes": "fairway.testing.routes",
}

__all__ = [
    "ChannelLiveServerTestCase",
    "ChannelTestCase",
    "Client",
    "HttpClient",
    "RecordingConsumer",
    "TransactionChannelTestCase",
    "ViewClient",
    "WSClient",
    "apply_routes",
]

__getattr__, __dir__ = lazy_names(globals(), _HOMES)
