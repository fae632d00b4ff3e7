"""Coroutine tests without a plugin: each runs in an event loop of its own.

A test that takes ``loop_factory``, or is marked ``usefixtures("loop_factory")``, runs twice: on asyncio and on
uvloop. Any other coroutine test runs on plain asyncio. Debug mode is off, because it changes what is measured and
what is collected; what asyncio has to complain about arrives as a warning, and warnings are errors here.
"""

import asyncio
import inspect
import sys
from collections.abc import Callable

import pytest

from tests.support.components import missing

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> LoopFactory:
    """Makes the event loop in which the test runs."""
    if request.param == "asyncio":
        return asyncio.new_event_loop
    if sys.platform == "win32":
        pytest.skip("there is no uvloop for Windows")
    try:
        import uvloop
    except ImportError:
        missing("uvloop is not installed: pip install fairway[server]")
    return uvloop.new_event_loop


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine function to its end; leave all others to pytest."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in wanted}
    factory = pyfuncitem.funcargs.get("loop_factory", asyncio.new_event_loop)
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(pyfuncitem.obj(**arguments))
    return True
