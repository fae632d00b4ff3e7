"""What a client sends, built byte by byte so that it can be wrong in every place."""

import zlib
from itertools import pairwise

from fairway.limits import HttpLimits
from fairway.wire.events import BodyReceived
from fairway.wire.http1 import Http1Parser

MASK = b"\x01\xfe\x37\xa5"


def request(*lines, method="GET", target="/", version="HTTP/1.1", host="example.com", body=b""):
    """A request head with these header lines (str or bytes), and what follows it."""
    host_line = [] if host is None else [f"Host: {host}"]
    head = [f"{method} {target} {version}", *host_line, *lines]
    return b"".join(_latin(line) + b"\r\n" for line in head) + b"\r\n" + body


def _latin(line):
    return line if isinstance(line, bytes) else line.encode("latin-1")


def upgrade(*lines, **changes):
    """A WebSocket handshake; `key=None` leaves the key out, `key="x"` sends that one."""
    fields = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    fields |= {
        {"key": "Sec-WebSocket-Key", "version": "Sec-WebSocket-Version"}[name]: changes[name] for name in changes
    }
    return request(*[f"{name}: {value}" for name, value in fields.items() if value is not None], *lines)


def parse(*pieces, limits=None):
    """All events that these bytes cause."""
    parser = Http1Parser(limits or HttpLimits())
    return [event for piece in pieces for event in parser.receive(piece)]


def joined(events):
    """The events with neighbouring pieces of a body made one: how it was cut is nobody's business."""
    result = []
    for event in events:
        if isinstance(event, BodyReceived) and result and isinstance(result[-1], BodyReceived):
            result[-1] = BodyReceived(result[-1].data + event.data)
        else:
            result.append(event)
    return result


def cut(data, places):
    """`data` in pieces, cut at `places`."""
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(edges)]


def frame(opcode, payload=b"", *, fin=True, rsv=0, mask=MASK, length=None, width=None):
    """A frame as a client sends it. `length` lies about the payload, `width` forces 2 or 8 length bytes."""
    size = len(payload) if length is None else length
    if width is None:
        width = 0 if size <= 125 else 2 if size <= 0xFFFF else 8
    short = {0: size, 2: 126, 8: 127}[width]
    head = bytes([(0x80 if fin else 0) | rsv | opcode, short | (0x80 if mask else 0)])
    head += size.to_bytes(width, "big") if width else b""
    return head + (mask + masked(payload, mask) if mask else payload)


def masked(payload, mask=MASK):
    """RFC 6455, 5.3, as it is written there."""
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def deflated(payload, *, window_bits=15, mode=zlib.Z_SYNC_FLUSH):
    """RFC 7692, 7.2.1."""
    deflater = zlib.compressobj(wbits=-window_bits)
    return (deflater.compress(payload) + deflater.flush(mode)).removesuffix(b"\x00\x00\xff\xff")
