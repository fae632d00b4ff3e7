"""Django's own handler behind `http.request`: URLconf, middleware, sessions and views work as behind any server.

`AsgiRequest` makes a Django request from a message, `AsgiHandler` runs Django on it and yields the response as
messages, `ViewConsumer` is the consumer that sends them. Everything runs in the worker's thread.

The names below are the public ones. Each is imported when it is first asked for, because importing a module of this
package for its own sake should not bring the others along.
"""

from typing import TYPE_CHECKING

from fairway.lazy import lazy_names

if TYPE_CHECKING:
    from fairway.http.consumers import ViewConsumer
    from fairway.http.handler import AsgiHandler
    from fairway.http.request import AsgiRequest
    from fairway.http.static import StaticFilesConsumer, StaticFilesHandler

_HOMES = {
    "AsgiHandler": "fairway.http.handler",
    "AsgiRequest": "fairway.http.request",
    "StaticFilesConsumer": "fairway.http.static",
    "StaticFilesHandler": "fairway.http.static",
    "ViewConsumer": "fairway.http.consumers",
}

__all__ = [
    "AsgiHandler",
    "AsgiRequest",
    "StaticFilesConsumer",
    "StaticFilesHandler",
    "ViewConsumer",
]

__getattr__, __dir__ = lazy_names(globals(), _HOMES)
