"""One connection to a hub, as a client holds it, and what belongs to it alone."""

import socket
from typing import Any

from fairway.layers.hub.tls import Seal
from fairway.wire.hub import Frame, FrameReader

CHUNK = 64 * 1024
"""Bytes that are read at once."""


class Link:
    """One connection, and what belongs to it alone."""

    __slots__ = ("early", "frames", "opening", "seal", "socket")

    def __init__(
        self, made: socket.socket, frames: FrameReader[Any], early: list[Frame], seal: Seal | None = None
    ) -> None:
        self.socket = made
        self.frames = frames
        self.early = early
        """Frames that came with the welcome."""
        self.seal = seal
        """Its TLS, if it has any."""
        self.opening = b""
        """What has to be written to it before anything else."""

    def receive(self) -> list[Any] | None:
        """Return the frames that what comes next completes, waiting for it; None when the hub hung up.

        Raises:
            OSError: the connection is lost.
            FrameBroken: the hub sent something else.
        """
        data = self.socket.recv(CHUNK)
        if not data:
            return None
        return self.frames.receive(data if self.seal is None else self.seal.open(data))
