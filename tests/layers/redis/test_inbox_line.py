"""A connection of an inbox on its event loop: what it writes, in what portions, and how it is lost."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from fairway.layers.redis import inbox_line as line_module
from fairway.layers.redis.address import Node
from fairway.layers.redis.inbox_line import CommandLine, MailLine
from fairway.layers.redis.shards import Shards
from fairway.layers.redis.wire import Wire, pack
from tests.support.waiting import await_until

NODE = Node("127.0.0.1", 6379)


class Peer:
    """A line, and the socket at its other end, in the place of Redis."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        self.wire = Wire(ours, NODE)
        self.lost: list[str] = []
        self.replies: list[Any] = []
        self.entries: list[Any] = []

    def commands(self) -> CommandLine:
        return CommandLine(asyncio.get_running_loop(), self.wire, Shards("t"), self.lost.append)

    def mail(self) -> MailLine:
        return MailLine(asyncio.get_running_loop(), self.wire, "key", self.entries.append, self.lost.append)

    def read(self) -> bytes:
        with suppress(BlockingIOError):
            return self.theirs.recv(10_000_000)
        return b""


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.theirs.close()
    if peer.wire.fileno() >= 0:
        peer.wire.close()


@pytest.mark.usefixtures("loop_factory")
async def test_a_turn_is_one_write_and_replies_come_in_order(peer: Peer) -> None:
    line = peer.commands()
    for name in ("a", "b"):
        line.add(pack(name), lambda reply, name=name: peer.replies.append((name, reply)))
    assert peer.read() == b""
    line.flush()
    line.flush()
    assert peer.read() == b"*1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n"
    peer.theirs.send(b"+1\r\n+2")
    await await_until(lambda: len(peer.replies) == 1)
    peer.theirs.send(b"\r\n")
    await await_until(lambda: len(peer.replies) == 2)
    assert peer.replies == [("a", b"1"), ("b", b"2")]
    line.close()
    line.close()
    assert peer.lost == []


@pytest.mark.usefixtures("loop_factory")
async def test_what_finds_no_room_goes_out_later(peer: Peer) -> None:
    line = peer.commands()
    sent = [bytes([number]) * 300_000 for number in range(10)]
    for data in sent:
        line.write(data)
    found = b""
    while len(found) < 3_000_000:
        found += peer.read()
        await asyncio.sleep(0)
    assert found == b"".join(sent)
    line.write(b"more")
    await await_until(lambda: peer.read() == b"more")
    assert peer.lost == []
    line.close()


async def test_a_peer_that_hangs_up(peer: Peer) -> None:
    """Found when it is read, told once; what is written afterwards goes nowhere."""
    line = peer.commands()
    peer.theirs.close()
    await await_until(lambda: peer.lost)
    line.add(pack("a"), peer.replies.append)
    line.flush()
    line.lose("again")
    assert peer.lost == ["has closed the connection"]


async def test_a_peer_that_hangs_up_while_we_write(peer: Peer) -> None:
    line = peer.commands()
    peer.theirs.close()
    line.write(b"a")
    assert [text.partition(":")[0] for text in peer.lost] == ["is lost"]


@pytest.mark.usefixtures("loop_factory")
async def test_a_peer_that_hangs_up_while_much_is_unsent(peer: Peer) -> None:
    line = peer.commands()
    line.write(b"x" * 3_000_000)
    peer.theirs.close()
    line._write_rest()
    await await_until(lambda: peer.lost)
    assert len(peer.lost) == 1


async def test_a_peer_that_takes_nothing(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "UNSENT", 1_000_000)
    line = peer.commands()
    for _ in range(10):
        line.write(b"x" * 500_000)
    assert peer.lost == ["it has stopped reading"]


async def test_a_line_that_is_let_go_hears_nothing_more(peer: Peer) -> None:
    """Also not of a reply that had come with the one that made us let it go."""
    line = peer.commands()
    line.add(pack("a"), lambda reply: line.close())
    line.add(pack("b"), peer.replies.append)
    line.flush()
    peer.theirs.send(b"+1\r\n+2\r\n")
    await await_until(lambda: peer.wire.fileno() < 0)
    assert peer.replies == []


async def test_what_is_left_of_a_line(peer: Peer) -> None:
    """What was not sent, gathered or not, and how many replies are still to come."""
    line = peer.commands()
    line.add(pack("x" * 3_000_000), peer.replies.append)
    line.flush()
    line.add(pack("b"), peer.replies.append)
    unsent, replies = line.take_back()
    assert unsent.endswith(b"x\r\n*1\r\n$1\r\nb\r\n")
    assert replies == 2
    assert peer.wire.fileno() >= 0


async def test_a_peer_that_does_not_answer(peer: Peer) -> None:
    line = peer.commands()
    line.lose_if_silent(-1.0)
    line.add(pack("a"), peer.replies.append)
    line.flush()
    line.lose_if_silent(1.0)
    assert peer.lost == []
    line.lose_if_silent(-1.0)
    assert peer.lost == ["it has given no answer for -1 s"]


@pytest.mark.usefixtures("loop_factory")
async def test_entries_are_asked_for_one_read_at_a_time(peer: Peer) -> None:
    line = peer.mail()
    line.read()
    line.read()
    begin = (
        b"*8\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n$3\r\n256\r\n$5\r\nBLOCK\r\n$4\r\n4000\r\n$7\r\nSTREAMS\r\n$3\r\nkey\r\n"
    )
    assert peer.read() == begin + b"$3\r\n0-0\r\n"
    peer.theirs.send(b"*1\r\n*2\r\n$3\r\nkey\r\n*1\r\n*2\r\n$3\r\n7-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n")
    await await_until(lambda: peer.entries)
    assert peer.entries == [[[b"7-1", [b"f", b"v"]]]]
    line.read()
    assert peer.read() == begin + b"$3\r\n7-1\r\n"
    peer.theirs.send(b"*-1\r\n")
    await await_until(lambda: len(peer.entries) == 2)
    assert peer.entries[1] == []
    assert line.position == b"7-1"
    line.close()
    line.read()


async def test_a_read_that_is_refused(peer: Peer) -> None:
    line = peer.mail()
    line.read()
    peer.theirs.send(b"-MOVED 7 127.0.0.1:7001\r\n")
    await await_until(lambda: peer.lost)
    assert peer.lost == ["it does not let us read: MOVED 7 127.0.0.1:7001"]


async def test_a_read_that_is_not_answered(peer: Peer) -> None:
    line = peer.mail()
    line.lose_if_silent(-10.0)
    line.read()
    line.lose_if_silent(1.0)
    assert peer.lost == []
    line.lose_if_silent(-10.0)
    assert peer.lost == ["it has given no answer for -6 s"]
