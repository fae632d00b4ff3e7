"""The parts of a streaming response, taken one by one in the worker's thread, whichever kind of iterator it has.

Django's own bridge reads an asynchronous iterator to its end before it gives the first part away. Here an event loop
lives as long as the response, and runs only while a part is awaited: what an iterator has begun (a queue, a
connection) stays on its loop, and a client that reads slowly slows the iterator.
"""

import asyncio
from collections.abc import AsyncIterator, Generator
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connections

_END = object()


def iterate(response: Any) -> Generator[bytes, None, None]:
    """Yield the parts of a streaming response. Close the generator: an asynchronous iterator ends with its loop."""
    if getattr(response, "is_async", False):
        yield from _iterate_async(response)
    else:
        yield from response


def _iterate_async(response: Any) -> Generator[bytes, None, None]:
    parts: AsyncIterator[bytes] = aiter(response)
    # Synchronous code that the iterator calls (the ORM) gets one thread of its own, and so its own connections.
    context: Any = ThreadSensitiveContext()
    with asyncio.Runner() as runner:
        runner.run(context.__aenter__())
        try:
            while True:
                part = runner.run(_next(parts))
                if part is _END:
                    return
                yield part
        finally:
            runner.run(_close(parts, context))


async def _next(parts: AsyncIterator[bytes]) -> Any:
    return await anext(parts, _END)


async def _close(parts: Any, context: Any) -> None:
    try:
        if hasattr(parts, "aclose"):
            await parts.aclose()
    finally:
        await sync_to_async(connections.close_all, thread_sensitive=True)()
        await context.__aexit__(None, None, None)
