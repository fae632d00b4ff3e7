"""The floor: what the work costs when nothing is there but an event loop and system calls.

``python -m bench.floor PORT`` serves, on uvloop, in one process without Django, layer or worker:

/fanout/<group>/  a message from a member goes to all members: one `transport.write` each of bytes built before
/echo/            a minimal masked frame is read, unmasked and written back
/slow/            the same, 200 ms later

It is no WebSocket server: it trusts its client. Everything it leaves out (validation, limits, back-pressure, routing)
is what the ratio to it measures.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

from bench import wire
from bench.plan import SLOW_SECONDS

_groups: dict[str, list[asyncio.Transport]] = {}
# From the publisher's frame, as received, to the frame for the members: after the first turn of the variants nothing
# is built any more.
_built: dict[tuple[bytes, bool], bytes] = {}


class Floor(asyncio.Protocol):
    """One connection: the handshake, then frames."""

    def __init__(self) -> None:
        """Start before the handshake."""
        self._transport: asyncio.Transport
        self._rest = b""
        self._kind = ""
        self._deflate = False
        self._group: list[asyncio.Transport] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Leave the group."""
        if self._group is not None:
            self._group.remove(self._transport)

    def data_received(self, data: bytes) -> None:
        """Cut into frames and answer each."""
        data = self._rest + data if self._rest else data
        if not self._kind:
            self._rest = data
            if data.endswith(b"\r\n\r\n"):
                self._rest = b""
                self._handshake(data)
            return
        start = 0
        while (end := _masked_frame_end(data, start)) and end <= len(data):
            self._frame(data if end - start == len(data) else data[start:end])
            start = end
        self._rest = data[start:]

    def _handshake(self, head: bytes) -> None:
        request, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        path = request.split()[1]
        self._kind = path.split("/")[1]
        self._deflate = "permessage-deflate" in headers.get("sec-websocket-extensions", "")
        extension = (
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
        )
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            + wire.accept_token(headers["sec-websocket-key"].encode())
            + b"\r\n"
            + (extension.encode() if self._deflate else b"")
            + b"\r\n"
        )
        if self._kind == "fanout":
            self._group = _groups.setdefault(path, [])
            self._group.append(self._transport)

    def _frame(self, frame: bytes) -> None:
        if frame[0] & 0x0F == wire.CLOSE:
            self._transport.close()
        elif self._kind == "fanout":
            out = _built.get((frame, self._deflate)) or self._build(frame)
            for member in self._group or ():
                member.write(out)
        elif self._kind == "slow":
            asyncio.get_running_loop().call_later(
                SLOW_SECONDS, self._transport.write, wire.server_frame(_unmasked(frame))
            )
        else:
            self._transport.write(wire.server_frame(_unmasked(frame)))

    def _build(self, frame: bytes) -> bytes:
        payload = _unmasked(frame)
        built = (
            wire.server_frame(wire.deflate(payload), compressed=True) if self._deflate else wire.server_frame(payload)
        )
        return _built.setdefault((frame, self._deflate), built)


def _masked_frame_end(data: bytes, start: int) -> int:
    available = len(data) - start
    if available < 4:
        return 0
    size = data[start + 1] & 0x7F
    return start + 6 + size if size < 126 else start + 8 + (data[start + 2] << 8 | data[start + 3])


def _unmasked(frame: bytes) -> bytes:
    header = 2 if frame[1] & 0x7F < 126 else 4
    return wire.mask(frame[header + 4 :], frame[header : header + 4])


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
