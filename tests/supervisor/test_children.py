"""Children that are kept running: restarts, pauses, failed starts, and a stop that says what it waits for."""

import asyncio
import logging
import os
import re
import signal

import pytest

from fairway.errors import StartFailed
from fairway.supervisor import children
from fairway.supervisor.children import Child, start_all, stop_all
from tests.supervisor.support import WAIT, recipe
from tests.support.waiting import await_until

pytestmark = pytest.mark.usefixtures("loop_factory")


@pytest.fixture(autouse=True)
def log(caplog):
    caplog.set_level(logging.INFO, "fairway.supervisor")
    return caplog


async def ready(child):
    child.start()
    await asyncio.wait_for(child.wait_ready(), 20)
    return child


async def test_it_is_kept_running():
    child = await ready(Child(recipe()))
    first = child.report()
    assert (first["name"], first["state"], first["restarts"], first["status"]) == ("child", "ready", 0, "")
    os.kill(first["pid"], signal.SIGKILL)
    await await_until(lambda: child.restarts == 1 and child.state == "ready", "another life")
    assert child.report()["pid"] != first["pid"]
    await child.stop()
    assert (child.state, child.process.exit_code) == ("stopped", 0)
    assert child.report()["pid"] is None


async def test_the_pause_doubles_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(children, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(children, "LONGEST_PAUSE", 0.003)
    child = Child(recipe("sys.exit(3)"))
    child._pause = 0.001
    child.start()
    with pytest.raises(StartFailed, match=r"child ended before it was ready \(process \d+, exit code 3\)"):
        await asyncio.wait_for(child.wait_ready(), 20)
    await await_until(lambda: child._pause == 0.003, "the longest pause")
    await child.stop()


async def test_a_healthy_life_ends_the_long_pauses(monkeypatch):
    monkeypatch.setattr(children, "HEALTHY", 0.0)
    child = await ready(Child(recipe()))
    child._pause = 30.0
    child.signal(signal.SIGKILL)
    await await_until(lambda: child.restarts == 1 and child.state == "ready", "another life")
    assert child._pause == children.FIRST_PAUSE
    await child.stop()


async def test_one_that_retires_is_followed_at_once(monkeypatch):
    monkeypatch.setattr(children, "SHORTEST_LIFE", 0.0)
    child = await ready(Child(recipe()))
    child._pause = 30.0
    child.signal(signal.SIGTERM)
    await await_until(lambda: child.restarts == 1 and child.state == "ready", "another life")
    assert child._pause == 0
    monkeypatch.setattr(children, "SHORTEST_LIFE", 1000.0)
    child.signal(signal.SIGTERM)
    await await_until(lambda: child.restarts == 2 and child.state == "ready", "another life")
    assert child._pause == children.FIRST_PAUSE
    await child.stop()


async def test_one_that_does_not_start_tells_its_last_lines():
    child = Child(recipe("print('SyntaxError: nonsense'); sys.exit(1)"))
    child.start()
    with pytest.raises(StartFailed, match=r"its last lines:\n    SyntaxError: nonsense"):
        await asyncio.wait_for(child.wait_ready(), 20)
    await child.stop()


async def test_until_it_is_tried_again_its_status_is_its_last_line(tmp_path):
    well = tmp_path / "well"
    child = Child(recipe(f"os.path.exists({str(well)!r}) or sys.exit('no table, ' + 'x' * 300)" + WAIT))
    child.start()
    async with asyncio.timeout(30):
        await await_until(lambda: child.report()["status"] == ("no table, " + "x" * 300)[:200], "the reason")
        well.touch()
        await await_until(lambda: child.state == "ready", "a life")
        assert child.report()["status"] == ""
        await child.stop()


async def test_one_that_is_not_ready_in_time_is_killed():
    child = Child(recipe("signal.pause()", start_timeout=0.05))
    child.start()
    with pytest.raises(StartFailed, match=r"child was not ready within 0.05 s"):
        await asyncio.wait_for(child.wait_ready(), 20)
    await child.stop()


async def test_a_program_that_is_not_there(log):
    child = Child(recipe(command=["none-such"]))
    child.start()
    with pytest.raises(StartFailed, match="child cannot be started"):
        await asyncio.wait_for(child.wait_ready(), 20)
    await await_until(lambda: "trying again in" in log.text, "a second try")
    assert child.report()["pid"] is None
    await child.stop()


async def test_it_is_started_before_it_is_waited_for():
    with pytest.raises(RuntimeError):
        await Child(recipe()).wait_ready()
    await Child(recipe()).stop()


async def test_a_stop_says_what_it_waits_for_and_kills_at_last(monkeypatch, log):
    monkeypatch.setattr(children, "SAY_EVERY", 0.05)
    text = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        notifier.status("consumer chat.receive, 12 s")
        notifier.ready()
        while True:
            signal.pause()
    """
    child = await ready(Child(recipe(text, grace=0.2)))
    await child.stop()
    assert child.process.exit_code == -signal.SIGKILL
    assert re.search(r"waiting for child \(process \d+\): consumer chat.receive, 12 s", log.text)
    assert re.search(r"child \(process \d+\) did not stop in time; killed: consumer chat.receive, 12 s", log.text)


async def test_two_stops_are_one_signal():
    text = """
        count = 0
        def stop(*_):
            global count
            count += 1
            notifier.status(f"signal {count}")
        signal.signal(signal.SIGTERM, stop)
        notifier.ready()
        while True:
            signal.pause()
    """
    child = await ready(Child(recipe(text, grace=0.5)))
    first = asyncio.create_task(child.stop())
    await await_until(lambda: child.process.status, "the first signal")
    await child.stop()
    await first
    assert child.process.status == "signal 1"


async def test_a_stop_while_it_starts():
    child = Child(recipe("notifier.status('here'); signal.pause()"))
    child.start()
    await await_until(lambda: child.process and child.process.status, "its start")
    await child.stop()
    assert (child.state, child.restarts) == ("stopped", 0)


async def test_killed_for_good():
    child = await ready(Child(recipe()))
    child.kill()
    await child.stop()
    assert (child.process.exit_code, child.restarts) == (-signal.SIGKILL, 0)


async def test_several():
    several = [Child(recipe(name=f"child-{number}")) for number in range(2)]
    async with asyncio.timeout(20):
        await start_all(several)
    assert [child.state for child in several] == ["ready", "ready"]
    await stop_all(several)
    assert [child.state for child in several] == ["stopped", "stopped"]


async def test_one_of_several_that_does_not_start():
    several = [Child(recipe()), Child(recipe("sys.exit(1)", name="bad"))]
    with pytest.raises(StartFailed, match="bad"):
        await asyncio.wait_for(start_all(several), 20)
    await stop_all(several)
