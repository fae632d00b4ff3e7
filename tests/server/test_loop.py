"""The event loop of a server."""

import asyncio
import builtins

from fairway.server import new_event_loop


def test_it_is_uvloop_where_there_is_one():
    loop = new_event_loop()
    try:
        assert type(loop).__module__.startswith("uvloop")
    finally:
        loop.close()


def test_it_is_asyncio_elsewhere(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "uvloop":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    loop = new_event_loop()
    try:
        assert isinstance(loop, asyncio.SelectorEventLoop)
    finally:
        loop.close()
