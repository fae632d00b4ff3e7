"""A client's end of a line: outages, forks, writers that must not wait, and a hub that says no."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.broker.effects import Send
from fairway.errors import LayerUnavailable
from fairway.layers import LocalLayer
from fairway.layers.hub import line, meeting
from tests.support.hubs import HubThread
from tests.support.processes import running_python
from tests.support.waiting import await_until, wait_until


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubThread]:
    with HubThread(tmp_path / "hub.sock") as hub:
        yield hub


@pytest.fixture
def layer(hub: HubThread) -> Iterator[LocalLayer]:
    layer = LocalLayer(hub.path, wait=5)
    yield layer
    layer.close()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    texts = [record.getMessage() for record in caplog.records if record.name == "fairway.layer"]
    return [text for text in texts if "the hub at" in text]


def test_a_publish_waits_for_a_hub_that_comes_back(
    hub: HubThread, layer: LocalLayer, caplog: pytest.LogCaptureFixture
) -> None:
    """Also in a process that reads nothing, and so has not noticed. The log is told once of each."""
    layer.publish(Send("c", b"1"))
    hub.stop()
    publishing = threading.Thread(target=layer.publish, args=(Send("c", b"2"),))
    publishing.start()
    wait_until(lambda: not layer.line.is_up)
    hub.start()
    publishing.join(30)
    assert layer.statistics().channels["c"].waiting == 1
    hub.stop()
    hub.start()
    layer.publish(Send("c", b"3"))
    assert [text.split(" (")[0].split(f"{hub.path} ")[1] for text in warnings(caplog)] == ["is away", "is back"] * 2


async def test_a_coroutine_waits_for_a_hub_that_comes_back(hub: HubThread, layer: LocalLayer) -> None:
    await layer.apublish(Send("c", b"1"))
    await asyncio.to_thread(hub.stop)
    publishing = [asyncio.create_task(layer.apublish(Send("c", b"2"))) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.to_thread(hub.start)
    async with asyncio.timeout(10):
        await asyncio.gather(*publishing)
    assert (await asyncio.to_thread(layer.statistics)).channels["c"].waiting == 20


def test_many_threads_share_one_attempt_at_a_hub_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would wait for the hello in its turn otherwise."""
    monkeypatch.setattr("fairway.layers.hub.greeting.HELLO_TIMEOUT", 0.3)
    errors: list[str] = []
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "mute.sock"))
        mute.listen(100)
        layer = LocalLayer(str(tmp_path / "mute.sock"), wait=0)

        def publish() -> None:
            try:
                layer.publish(Send("c", b"x"))
            except LayerUnavailable as error:
                errors.append(str(error))

        threads = [threading.Thread(target=publish) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(errors) == 16
        assert layer.line._attempts < 8
        layer.close()


def test_a_refusal_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with HubThread(tmp_path / "hub.sock", versions=(5, 6)) as hub:
        layer = LocalLayer(hub.path, wait=0)
        for _ in range(3):
            with pytest.raises(LayerUnavailable, match="versions 1 to 2 of the protocol, this hub 5 to 6"):
                layer.publish(Send("c", b"x"))
        layer.close()
    assert len(warnings(caplog)) == 1


def test_a_forked_process_has_a_line_of_its_own(hub: HubThread, layer: LocalLayer) -> None:
    reader = layer.reader(["c"], window=2, threads=1)
    layer.publish(Send("c", b"1"))
    delivery = reader.receive(5)
    assert delivery
    child = os.fork()
    if child == 0:
        code = 1
        try:
            layer.publish(Send("child", b"x"))
            code = 0 if reader.receive(1) is None else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    reader.commit(delivery)
    statistics = layer.statistics()
    assert statistics.channels["child"].waiting == 1
    assert (statistics.committed, layer.line.generation) == (1, 1)


def test_the_interpreter_ends_while_the_line_is_open(hub: HubThread) -> None:
    script = (
        "import sys; from fairway.layers import LocalLayer; from fairway.broker.effects import Send\n"
        "layer = LocalLayer(sys.argv[1]); reader = layer.reader(['c'], window=2, threads=2)\n"
        "layer.publish(Send('c', b'x')); print(reader.receive(5).body)\n"
    )
    with running_python("-X", "dev", "-W", "error", "-c", script, hub.path) as program:
        assert program.process.wait(60) == 0
        assert program.output() == "b'x'\n"


def test_closing_while_it_is_being_made(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "mute.sock"))
        mute.listen(1)
        layer = LocalLayer(str(tmp_path / "mute.sock"), wait=60)
        errors: list[BaseException] = []

        def publish() -> None:
            try:
                layer.publish(Send("c", b"x"))
            except LayerUnavailable as error:
                errors.append(error)

        publishing = threading.Thread(target=publish)
        publishing.start()
        accepted, _ = mute.accept()
        layer.close()
        accepted.close()
        publishing.join(30)
        assert len(errors) == 1


async def test_waiting_does_not_hold_up_the_loop(hub: HubThread, layer: LocalLayer) -> None:
    reader = layer.reader(["c"])
    receiving = asyncio.create_task(reader.areceive())
    await await_until(lambda: layer.turns.coroutines == 1)
    layer.close()
    assert await receiving is None


def test_a_hub_that_is_away_is_waited_for_once_by_all_calls(tmp_path: Path) -> None:
    layer = LocalLayer(str(tmp_path / "hub.sock"), wait=0.1)
    assert layer.line.deadline(60) > time.monotonic()
    with pytest.raises(LayerUnavailable):
        layer.publish(Send("c", b"1"))
    assert layer.line.deadline(0.1) <= time.monotonic()
    with pytest.raises(LayerUnavailable):
        layer.publish(Send("c", b"2"))
    with HubThread(tmp_path / "hub.sock"):
        layer.publish(Send("c", b"3"))
        assert layer.line.deadline(60) > time.monotonic() + 30
    layer.close()


def test_a_line_that_is_made_while_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody uses it, and nothing is left of it."""
    with HubThread(tmp_path / "hub.sock") as hub:
        layer = LocalLayer(hub.path, wait=0)
        made: list[socket.socket] = []

        def meet(*arguments: Any) -> Any:
            link, welcome = meeting.meet(*arguments)
            made.append(link.socket)
            layer.close()
            return link, welcome

        monkeypatch.setattr(line, "meet", meet)
        with pytest.raises(LayerUnavailable):
            layer.publish(Send("c", b"x"))
        assert [one.fileno() for one in made] == [-1]
        assert not layer.line.is_up
