"""Commands over one connection: nobody waits in the middle of one, their order holds, and what waits is bounded."""

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from fairway.errors import LayerUnavailable
from fairway.layers.redis import pipe as pipe_module
from fairway.layers.redis.address import Node
from fairway.layers.redis.pipe import Pipe
from fairway.layers.redis.wire import Wire
from tests.support.waiting import wait_until

BIG = b"x" * 5_000_000


class Peer:
    """A pipe, and the socket at its other end, in the place of Redis."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.broken: list[str] = []
        self.replies: list[Any] = []
        self.pipe = Pipe(Wire(ours, Node("127.0.0.1", 6379)), self.broken.append)

    def read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            found += self.theirs.recv(1 << 20)
        return found


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.theirs.close()
    made.pipe.close()


def test_replies_go_to_whoever_awaits_them_in_their_order(peer: Peer) -> None:
    first, second = [], []
    peer.pipe.send(b"abc", [first.append, None])
    peer.pipe.send(b"d", [second.append])
    assert peer.read(4) == b"abcd"
    peer.theirs.sendall(b":1\r\n:2\r\n:3\r\n")
    peer.pipe.receive()
    assert [first, second] == [[1], [3]]


def test_the_rest_is_written_by_a_thread_of_its_own(peer: Peer) -> None:
    """Whoever sends goes on, although nobody reads at the other end."""
    peer.pipe.send(BIG, [None])
    peer.pipe.send(b"end", [None])
    assert peer.read(len(BIG) + 3) == BIG + b"end"
    wait_until(lambda: not peer.pipe.is_crowded, "room")
    peer.pipe.wait_for_room()
    assert peer.broken == []


def test_what_a_thread_has_sent_first_is_written_first(peer: Peer) -> None:
    """Whole commands, and those of each thread in their order, while the rest of others waits."""
    size, count = 20_000, 60

    def write(mark: bytes) -> None:
        for number in range(count):
            peer.pipe.send(mark + b"%03d" % number + b"." * (size - 4), [None])

    writers = [threading.Thread(target=write, args=(mark,)) for mark in (b"a", b"b", b"c")]
    for writer in writers:
        writer.start()
    found = peer.read(3 * count * size)
    for writer in writers:
        writer.join()
    heads = [found[place : place + 4] for place in range(0, len(found), size)]
    for mark in (b"a", b"b", b"c"):
        assert [head for head in heads if head.startswith(mark)] == [mark + b"%03d" % number for number in range(count)]


def test_threads_wait_while_much_is_unsent(peer: Peer) -> None:
    peer.pipe.send(BIG, [None])
    assert peer.pipe.is_crowded
    waiting = threading.Thread(target=peer.pipe.wait_for_room)
    waiting.start()
    assert waiting.is_alive()
    peer.read(len(BIG))
    waiting.join(30)
    assert not waiting.is_alive()


def test_nobody_waits_for_room_in_a_pipe_that_is_closed(peer: Peer) -> None:
    peer.pipe.send(BIG, [None])
    waiting = threading.Thread(target=peer.pipe.wait_for_room)
    waiting.start()
    peer.pipe.close()
    waiting.join(30)
    assert not waiting.is_alive()
    wait_until(lambda: peer.broken, "the writer has noticed")
    assert len(peer.broken) == 1


def test_what_waits_is_bounded(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe_module, "UNSENT", 6_000_000)
    peer.pipe.send(BIG, [None])
    with pytest.raises(LayerUnavailable, match=r"Redis at 127\.0\.0\.1:6379 has stopped reading"):
        peer.pipe.send(BIG, [None])


def test_a_connection_that_breaks_while_the_rest_is_written(peer: Peer) -> None:
    peer.pipe.send(BIG, [None])
    peer.theirs.close()
    wait_until(lambda: peer.broken, "the writer has noticed")
    assert [text.partition(":")[0] for text in peer.broken] == ["Redis at 127.0.0.1"]
    peer.pipe.wait_for_room()


def test_half_a_command_is_not_left_when_no_thread_can_be_had(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(LayerUnavailable, match="has no room now, and nobody can wait for it: can't start new thread"):
        peer.pipe.send(BIG, [None])


def test_a_server_that_owes_an_answer_for_long_is_silent(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted from the last answer, or from the first command after a rest."""
    now = [100.0]
    monkeypatch.setattr(pipe_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    assert not peer.pipe.is_silent(1_000.0)
    peer.pipe.send(b"a", [None])
    peer.pipe.send(b"b", [None])
    assert not peer.pipe.is_silent(110.0)
    assert peer.pipe.is_silent(110.1)
    now[0] = 110.0
    peer.theirs.sendall(b":1\r\n")
    peer.pipe.receive()
    assert not peer.pipe.is_silent(120.0)
    assert peer.pipe.is_silent(120.1)
    peer.theirs.sendall(b":1\r\n")
    peer.pipe.receive()
    assert not peer.pipe.is_silent(1_000.0)


def test_a_server_that_hangs_up(peer: Peer) -> None:
    peer.theirs.close()
    with pytest.raises(LayerUnavailable, match="has closed the connection"):
        peer.pipe.receive()
