"""The hub's listening end: it opens, drains, stops, and stays reachable."""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.broker.effects import Ending, Send
from fairway.errors import LayerUnavailable
from fairway.layers import LocalLayer
from fairway.layers.hub import unread
from fairway.layers.hub.address import HubAddress
from fairway.layers.hub.server import HubServer
from fairway.layers.memory import MemoryLayer
from fairway.wire.hub import (
    MAGIC,
    Answer,
    Call,
    Commit,
    Delivered,
    Hello,
    Open,
    Own,
    Publish,
    Readers,
    Refusal,
    Shut,
    pack,
)
from tests.layers.hub.conversation import converse
from tests.support.hubs import HubThread, RawLine
from tests.support.processes import running_python
from tests.support.waiting import await_until, wait_until

HUB = """
import asyncio, sys
from fairway.layers.hub.address import HubAddress
from fairway.layers.hub.server import HubServer
from fairway.layers.memory import MemoryLayer

async def main():
    async with HubServer(MemoryLayer(), HubAddress(path=sys.argv[1]), silence=float(sys.argv[2])):
        print("open", flush=True)
        await asyncio.Event().wait()

import logging
logging.basicConfig(level=logging.WARNING)
asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub.sock"


@pytest.fixture
def hub(path: Path) -> Iterator[HubThread]:
    with HubThread(path) as hub:
        yield hub


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_stop_waits_for_workers(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What only the hub has is consumed before it goes; new processes find no hub meanwhile."""
    layer = MemoryLayer()
    hub = HubServer(layer, HubAddress(path=str(path)))
    await hub.start()
    with RawLine(path, greet=False) as line:
        line.say(Hello(MAGIC, 1, 2))
        line.say(Open(1, 1, ["mail"], 1))
        await await_until(lambda: layer.statistics().sessions)
        layer.publish(Send("mail", b"1"))
        layer.publish(Send("mail", b"2"))
        layer.publish(Send("websocket.receive", b"goes with its connection"))
        stopping = asyncio.create_task(hub.stop())
        for _ in range(2):
            delivery = (await asyncio.to_thread(line.wait_for, Delivered)).delivery
            assert not stopping.done()
            line.say(Commit(1, delivery.receipt, Ending.DONE, []))
        assert not path.exists()  # noqa: ASYNC240
        await stopping
        assert (await asyncio.to_thread(line.end))[-1] == Refusal("the hub stops")
    assert warnings(caplog) == []
    await hub.stop()
    layer.close()


async def test_a_stop_names_what_it_loses(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layer = MemoryLayer()
    async with HubServer(layer, HubAddress(path=str(path))):
        for channel in ("mail", "mail", "audit"):
            layer.publish(Send(channel, b"x"))
    assert warnings(caplog) == ["the hub stops, and 3 messages are lost with it (audit: 1, mail: 2)"]
    layer.close()


async def test_a_stop_does_not_wait_for_ever(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layer = MemoryLayer()
    hub = HubServer(layer, HubAddress(path=str(path)))
    await hub.start()
    with RawLine(path, greet=False) as line:
        line.say(Hello(MAGIC, 1, 2), Open(1, 1, ["mail"], 1))
        await await_until(lambda: layer.statistics().sessions)
        layer.publish(Send("mail", b"1"))
        await hub.stop(0.05)
    assert warnings(caplog) == ["the hub stops, and 1 messages are lost with it (mail: 1)"]
    layer.close()


async def test_a_stop_after_the_layer_was_closed(path: Path) -> None:
    layer = MemoryLayer()
    hub = HubServer(layer, HubAddress(path=str(path)))
    await hub.stop()
    await hub.start()
    layer.close()
    await hub.stop()
    assert not path.exists()  # noqa: ASYNC240


async def test_a_second_hub_does_not_start(hub: HubThread) -> None:
    layer = MemoryLayer()
    second = HubServer(layer, HubAddress(path=hub.path))
    with pytest.raises(LayerUnavailable, match=f"process {os.getpid()}"):
        await second.start()
    await second.stop()
    with RawLine(hub.path):
        layer.close()


def test_a_socket_that_was_removed_is_made_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Processes that start find the hub, and the lines of the others do not notice."""
    with HubThread(path, silence=0.2) as hub:
        layer = LocalLayer(hub.path)
        layer.publish(Send("c", b"x"))
        path.unlink()
        wait_until(path.exists)
        with RawLine(path):
            assert layer.statistics().channels["c"].waiting == 1
        assert warnings(caplog) == [f"the hub's socket {path} was removed; it is there again"]
        path.unlink()
        path.write_text("something else")
        wait_until(lambda: len(warnings(caplog)) > 1)
        path.unlink()
        wait_until(path.exists)
        wait_until(lambda: len(warnings(caplog)) == 3)
        layer.close()
    assert "cannot reach the hub" in warnings(caplog)[1]
    assert "is not this hub's any more" in warnings(caplog)[1]


def test_owners_hear_who_is_read(hub: HubThread) -> None:
    with RawLine(hub.path) as owner, RawLine(hub.path) as worker, RawLine(hub.path, versions=(1, 1)) as old:
        owner.say(Own(1, ["s!"]))
        old.say(Own(1, ["t!"]))
        assert owner.wait_for(Readers) == Readers([])
        worker.say(Open(1, 1, ["b", "a"], 1))
        assert owner.wait_for(Readers) == Readers(["a", "b"])
        worker.say(Shut(1))
        assert owner.wait_for(Readers) == Readers([])
        hub.stop()
        assert not [frame for frame in old.end() if isinstance(frame, Readers)]


@pytest.mark.parametrize("ours", [(1, 1), (3, 4)], ids=["older", "newer"])
def test_no_version_in_common(path: Path, caplog: pytest.LogCaptureFixture, ours: tuple[int, int]) -> None:
    """Both sides say which versions each of them speaks."""
    theirs = (2, 2)
    said = f"it speaks versions {ours[0]} to {ours[1]} of the protocol, this hub {theirs[0]} to {theirs[1]}"
    with HubThread(path, versions=theirs):
        layer = LocalLayer(str(path), versions=ours, wait=0)
        with pytest.raises(LayerUnavailable, match=f"the hub at {path} refuses this client: {said}"):
            layer.publish(Send("c", b"x"))
        layer.close()
    assert any(said in text and text.startswith("the hub cuts ") for text in warnings(caplog))


@pytest.mark.parametrize(
    ("ours", "theirs"), [((1, 1), (1, 2)), ((1, 2), (1, 1)), ((1, 1), (1, 1)), ((1, 2), (2, 3))], ids=str
)
async def test_the_previous_version_is_spoken(path: Path, ours: tuple[int, int], theirs: tuple[int, int]) -> None:
    """A worker and a server of the one, a hub of the other: a conversation works."""
    with HubThread(path, versions=theirs) as hub:
        layer = LocalLayer(hub.path, versions=ours)
        try:
            await converse(layer)
            assert layer.line.version == min(ours[1], theirs[1])
        finally:
            layer.close()


def test_a_hub_that_was_stopped_itself_takes_nobody_for_dead(path: Path) -> None:
    """SIGSTOP, or a host that sleeps: the pings of that time lie in the sockets."""
    with running_python("-c", HUB, path, "0.4") as hub:
        hub.wait_for_output("open")
        with RawLine(path) as line:
            line.say(Open(1, 1, ["c"], 1))
            line.wait_for(Answer)
            for _ in range(3):
                hub.process.send_signal(signal.SIGSTOP)
                wait = threading.Event()
                wait.wait(1.0)
                line.send(pack(Shut(9)))
                hub.process.send_signal(signal.SIGCONT)
                line.say(Open(1, 2, ["c"], 1))
                line.wait_for(Answer)
        assert "no sign of life" not in hub.output()


def resident(pid: int) -> int:
    """Kilobytes of memory that a process has."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@pytest.mark.faults
def test_the_memory_of_a_hub_is_bounded(path: Path) -> None:
    """Ten thousand lines that come and go, hellos of 80 MiB, floods whose answers nobody reads."""
    with running_python("-c", HUB, path, "5") as hub:
        hub.wait_for_output("open")
        with RawLine(path) as line:
            line.say(Open(1, 1, ["c"], 1))
            line.wait_for(Answer)
            before = resident(hub.pid)
            for number in range(10_000):
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
                    if number % 3 == 0:
                        client.sendall((80 << 20).to_bytes(4, "big") + b"x" * 100)
                    elif number % 3 == 1:
                        client.sendall(pack(Hello(MAGIC, 1, 2))[:-3])
            flood(path)
            line.say(Open(2, 7, ["c"], 1))
            line.wait_for(Answer)
            assert resident(hub.pid) - before < 60_000


def test_messages_that_no_worker_reads_are_told(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of a body waits for the consumer of its request, and is no reason to worry."""
    monkeypatch.setattr(unread, "PATIENCE", 0)
    with HubThread(path, silence=0.1) as hub:
        hub.layer.publish(Send("http.request.body?1", b"x"))
        hub.layer.publish(Send("mail", b"x"))
        wait_until(lambda: warnings(caplog))
    assert warnings(caplog)[0] == "messages wait in mail (1), which no worker reads: is one running?"


def flood(path: Path) -> None:
    """Ask for much, and read nothing, until the hub reads no more either."""
    with RawLine(path) as line:
        line.say(*(Publish(0, Send(f"channel.{number}", b"x")) for number in range(2_000)))
        for _ in range(2_000):
            line.wait_for(Answer)
        data = pack(Call(1, "statistics")) * 1000
        line.socket.settimeout(0.5)
        try:
            for _ in range(1000):
                line.send(data)
        except TimeoutError:
            return
        raise AssertionError("the hub goes on reading")
