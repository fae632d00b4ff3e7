"""A crew of workers, and deploys of it."""

import asyncio
import logging
from dataclasses import replace

import pytest

from fairway.errors import StartFailed
from fairway.supervisor import crew as module
from fairway.supervisor.crew import Crew, deploy_and_tell
from tests.supervisor.support import WAIT, recipe, script
from tests.support.waiting import await_until

pytestmark = pytest.mark.usefixtures("loop_factory")

STUBBORN = """
notifier.ready()
signal.signal(signal.SIGTERM, lambda *_: notifier.status("stopping, waiting for chat.receive"))
while True:
    signal.pause()
"""


@pytest.fixture(autouse=True)
def log(caplog):
    caplog.set_level(logging.INFO, "fairway.supervisor")
    return caplog


async def started(text=WAIT, size=2, **options):
    crew = Crew(recipe(text, name="worker", **options), size)
    async with asyncio.timeout(30):
        await crew.start()
    return crew


def names(crew):
    return [one["name"] for one in crew.report()]


async def test_new_ones_take_over():
    crew = await started()
    assert (crew.ready, names(crew)) == (True, ["worker-1", "worker-2"])
    said = []
    async with asyncio.timeout(30):
        await crew.deploy(said.append)
    assert (crew.ready, names(crew)) == (True, ["worker-3", "worker-4"])
    assert said == [
        "starting 2 new workers",
        "worker-3, worker-4 ready; the old ones finish",
        "all old workers are gone",
    ]
    await crew.stop()
    assert not crew.ready


async def test_code_that_does_not_start_leaves_the_old_ones(log):
    crew = await started()
    crew._recipe = replace(crew._recipe, command=script("print('broken'); sys.exit(1)"))
    async with asyncio.timeout(30):
        answer = await deploy_and_tell(crew, lambda text: None)
    assert answer["ok"] is False
    assert "broken" in answer["error"]
    assert "the old workers stay" in log.text
    assert (crew.ready, names(crew)) == (True, ["worker-1", "worker-2"])
    await crew.stop()


async def test_a_first_start_that_fails_leaves_nobody():
    crew = Crew(recipe("sys.exit(1)", name="worker"), 2)
    assert not crew.ready
    with pytest.raises(StartFailed):
        await asyncio.wait_for(crew.start(), 30)
    assert crew.report() == []


async def test_what_does_not_start_is_told_and_tried_until_it_does(tmp_path, log):
    ready = tmp_path / "migrated"
    text = f"os.path.exists({str(ready)!r}) or sys.exit(1)" + WAIT
    crew = Crew(recipe(text, name="delay"), 1, "delay server")
    async with asyncio.timeout(30):
        await crew.start_without_fail()
        assert not crew.ready
        assert "delay-1 ended before it was ready" in log.text
        ready.touch()
        await await_until(lambda: crew.ready, "the delay server")
        await crew.stop()


async def test_the_first_ones_are_told(log):
    crew = Crew(recipe(name="delay"), 2)
    async with asyncio.timeout(30):
        await crew.start_without_fail()
        assert crew.ready
        assert "delay-2 is ready" in log.text
        await crew.stop()


async def test_it_says_what_an_old_one_waits_for(monkeypatch):
    monkeypatch.setattr(module, "SAY_EVERY", 0.05)
    crew = await started(STUBBORN, size=1, grace=0.5)
    crew._recipe = replace(crew._recipe, command=script(WAIT))
    said = []
    async with asyncio.timeout(30):
        await crew.deploy(said.append)
    assert "waiting for worker-1: stopping, waiting for chat.receive" in said
    await crew.stop()


async def test_nobody_then_some_then_nobody():
    crew = await started(size=0)
    assert (crew.ready, names(crew)) == (True, [])
    crew.kind = "delay server"
    said = []
    async with asyncio.timeout(30):
        await crew.deploy(said.append)
        assert said == []
        crew.size = 1
        assert not crew.ready
        await crew.deploy(said.append)
        assert (crew.ready, names(crew)) == (True, ["worker-1"])
        crew.size = 0
        await crew.deploy(said.append)
    assert (crew.ready, names(crew)) == (True, [])
    assert said == ["starting 1 new delay server", "worker-1 ready", "all old delay servers are gone"]


async def test_one_deploy_after_the_other():
    crew = await started(size=1)
    said = []
    async with asyncio.timeout(30):
        first = asyncio.create_task(crew.deploy(said.append))
        await asyncio.sleep(0)
        others = [asyncio.create_task(crew.deploy(said.append)) for _ in range(2)]
        await asyncio.gather(first, *others)
    assert said.count("a deploy waits already; its workers will have this code too") == 1
    assert names(crew) == ["worker-3"]
    await crew.stop()


async def test_all_killed():
    crew = await started(STUBBORN, grace=20)
    crew.kill()
    async with asyncio.timeout(10):
        await crew.stop()


async def test_a_stop_ends_deploys():
    crew = await started(STUBBORN, size=1, grace=0.5)
    running = asyncio.create_task(deploy_and_tell(crew, lambda text: None))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(deploy_and_tell(crew, lambda text: None))
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await crew.stop()
        await asyncio.gather(running, waiting, return_exceptions=True)
    assert waiting.cancelled()
    assert not crew.ready
