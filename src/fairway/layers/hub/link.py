"""One connection to a hub, as a client holds it, and what belongs to it alone."""

import socket
from typing import Any

from fairway.wire.hub import Frame, FrameReader


class Link:
    """One connection, and what belongs to it alone."""

    __slots__ = ("early", "frames", "opening", "socket")

    def __init__(self, made: socket.socket, frames: FrameReader[Any], early: list[Frame]) -> None:
        self.socket = made
        self.frames = frames
        self.early = early
        """Frames that came with the welcome."""
        self.opening = b""
        """What has to be written to it before anything else."""
