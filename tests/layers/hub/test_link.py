"""One connection to a hub."""

import socket
from typing import Any

from fairway.layers.hub.link import Link
from fairway.wire.hub import FrameReader, FromHub, Pong, pack


def test_a_connection_keeps_what_came_early_and_what_goes_first() -> None:
    ours, theirs = socket.socketpair()
    frames: FrameReader[Any] = FrameReader(FromHub)
    with ours, theirs:
        link = Link(ours, frames, [])
        assert (link.socket, link.frames, link.early, link.opening) == (ours, frames, [], b"")


def test_what_comes_next_over_a_connection() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        link = Link(ours, FrameReader(FromHub), [])
        with theirs:
            theirs.sendall(pack(Pong())[:2])
            assert link.receive() == []
            theirs.sendall(pack(Pong())[2:] + pack(Pong()))
            assert link.receive() == [Pong(), Pong()]
        assert link.receive() is None
