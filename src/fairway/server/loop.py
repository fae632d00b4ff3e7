"""The event loop of an interface server: uvloop where there is one, asyncio elsewhere."""

import asyncio


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new loop, to be given to `asyncio.Runner(loop_factory=...)`."""
    try:
        import uvloop
    except ImportError:  # Windows has none
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
