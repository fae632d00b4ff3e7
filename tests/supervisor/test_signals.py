"""What signals do to a process of ours. The second one ends it, so that is looked at from outside."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from fairway.supervisor.signals import StopSignals

pytestmark = pytest.mark.usefixtures("loop_factory")


@pytest.fixture(autouse=True)
def handlers():
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_asks(number):
    signals = StopSignals(on_hang_up=lambda: None)
    assert not signals.asked.is_set()
    os.kill(os.getpid(), number)
    async with asyncio.timeout(10):
        await signals.asked.wait()


async def test_a_hang_up():
    heard = asyncio.Event()
    signals = StopSignals(on_hang_up=heard.set)
    os.kill(os.getpid(), signal.SIGHUP)
    async with asyncio.timeout(10):
        await heard.wait()
    assert not signals.asked.is_set()
    signals.stop()
    assert signals.asked.is_set()


async def test_the_second_ends_the_process():
    program = """
import asyncio, os, signal
from fairway.supervisor.signals import StopSignals
async def main():
    signals = StopSignals(lambda: None, on_hurry=lambda: print("hurry", flush=True))
    os.kill(os.getpid(), signal.SIGINT)
    await signals.asked.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)  # noqa: ASYNC221
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "hurry\n")
