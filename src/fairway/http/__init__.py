"""Django's own handler behind `http.request`: URLconf, middleware, sessions and views work as behind any server.

`AsgiRequest` makes a Django request from a message, `AsgiHandler` runs Django on it and yields the response as
messages, `ViewConsumer` is the consumer that sends them. Everything runs in the worker's thread.

The names below are the public ones. Each is imported when it is first asked for, because importing a module of this
package for its own sake should not bring the others along.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
