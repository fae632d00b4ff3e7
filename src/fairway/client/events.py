"""Events by name, and who is told of them."""

import inspect
import logging
from collections.abc import Callable
from typing import Any, Literal

logger = logging.getLogger("fairway.client")

Event = Literal["open", "close", "state", "reconnecting", "message", "error", "push"]
"""
* `open`: there is a connection, the first one or another. Told with None.
* `close`: a connection has ended, or a try has failed. The `Closing`.
* `state`: the state has changed. The new one.
* `reconnecting`: there will be a try. The `Try`.
* `message`: a frame that answers nothing, and belongs to no group and no stream. The frame.
* `error`: something went wrong that belongs to no request; the client lives on. The exception.
* `push`: a change that any group was told of. The `Push`.
"""

Handler = Callable[[Any], object]


class Emitter:
    """Calls handlers, in the order in which they came."""

    def __init__(self) -> None:
        # For each event its handlers, and whether each is for one time only.
        self._handlers: dict[Event, dict[Handler, bool]] = {}

    def on(self, event: Event, handler: Handler) -> Callable[[], None]:
        """Call `handler` at each such event, in the event loop. Returns a function that ends it.

        Raises:
            TypeError: it is a coroutine function, which nobody would await.
        """
        return self._add(event, handler, is_once=False)

    def once(self, event: Event, handler: Handler) -> Callable[[], None]:
        """Call `handler` at the next such event only; otherwise as `on`."""
        return self._add(event, handler, is_once=True)

    def off(self, event: Event, handler: Handler) -> None:
        """Call `handler` no longer."""
        self._handlers.get(event, {}).pop(handler, None)

    def emit(self, event: Event, detail: object) -> bool:
        """Call the handlers of an event; return whether there were any. One that raises spoils nothing."""
        # A copy: a handler may add itself again.
        handlers = list(self._handlers.get(event, {}).items())
        for handler, is_once in handlers:
            if is_once:
                self.off(event, handler)
            try:
                handler(detail)
            except Exception:
                logger.exception("a handler of the event %r failed", event)
        return bool(handlers)

    def _add(self, event: Event, handler: Handler, *, is_once: bool) -> Callable[[], None]:
        if inspect.iscoroutinefunction(handler):
            msg = f"the handler of an event is a plain function, not the coroutine function {handler.__qualname__}"
            raise TypeError(msg)
        self._handlers.setdefault(event, {})[handler] = is_once
        return lambda: self.off(event, handler)
