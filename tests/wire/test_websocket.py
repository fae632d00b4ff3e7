"""`fairway.wire.websocket`: what a client may send, what it may not, and what it cannot make the server keep."""

import random
import sys
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import FrameError, InvalidData, MessageTooBig
from fairway.limits import WebSocketLimits
from fairway.wire import websocket
from fairway.wire.events import (
    BytesReceived,
    CloseReceived,
    PeerFailed,
    PingReceived,
    PongReceived,
    TextReceived,
)
from fairway.wire.frames import BINARY, CLOSE, PING, PONG, TEXT
from fairway.wire.websocket import FrameParser
from tests.wire.peers import MASK, cut, deflated, frame

CONT = 0
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10
SMALL = WebSocketLimits(message=1000, fragments=10)


def receive(*pieces, limits=None, deflate=False):
    parser = FrameParser(limits or WebSocketLimits(), deflate)
    return [event for piece in pieces for event in parser.receive(piece)]


def outcome(*pieces, limits=None):
    """Events, and whether it failed; which of two broken rules is named may depend on what had arrived."""
    events = receive(*pieces, limits=limits, deflate=True)
    return [PeerFailed if isinstance(event, PeerFailed) else event for event in events]


def error_of(*pieces, limits=None, deflate=False):
    last = receive(*pieces, limits=limits, deflate=deflate)[-1]
    assert isinstance(last, PeerFailed), last
    return last.error


# Messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 100_000])
@pytest.mark.parametrize("places", [[], [1], [5], [7, 300]])
def test_every_width_of_a_length(size, places):
    data = frame(BINARY, b"x" * size) + frame(TEXT, b"y" * size)
    assert receive(*cut(data, places)) == [BytesReceived(b"x" * size), TextReceived("y" * size)]


@pytest.mark.parametrize("mask", [b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x81\x00\x7f\x01"])
def test_masks(mask):
    assert receive(frame(TEXT, b"Hello", mask=mask)) == [TextReceived("Hello")]


def test_a_length_in_more_bytes_than_needed():
    assert receive(frame(TEXT, b"Hello", width=2), frame(TEXT, b"Hello", width=8)) == [TextReceived("Hello")] * 2


def test_fragments_with_control_frames_between_them():
    data = [
        frame(TEXT, b"a", fin=False),
        frame(PING, b"1"),
        frame(CONT, b"", fin=False),
        frame(PONG, b"2"),
        frame(CONT, b"b", fin=False),
        frame(CONT, b"c"),
        frame(BINARY, b"d"),
    ]
    assert receive(b"".join(data)) == [PingReceived(b"1"), PongReceived(b"2"), TextReceived("abc"), BytesReceived(b"d")]


def test_message_started():
    parser = FrameParser(WebSocketLimits(), False)
    assert not parser.message_started
    data = frame(TEXT, b"ab", fin=False) + frame(PING, b"x") + frame(CONT, b"c")
    for index, byte in enumerate(data[:-1]):
        parser.receive(bytes([byte]))
        assert parser.message_started, index
    assert parser.receive(data[-1:]) == [TextReceived("abc")]
    assert not parser.message_started
    parser.receive(data[:3])
    parser.receive(frame(TEXT))
    assert not parser.message_started


# UTF-8


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xce\xba\xe1\xbd",
        b"a\x80",
        b"\xf0\x80\x80\xaf",
        b"\xfe",
    ],
)
def test_text_that_is_not_utf_8(payload):
    assert error_of(frame(TEXT, payload)).close_code == 1007
    assert isinstance(error_of(*cut(frame(TEXT, payload), range(20))), InvalidData)
    assert isinstance(error_of(frame(TEXT, payload, fin=False), frame(CONT)), InvalidData)
    assert isinstance(error_of(frame(TEXT, deflated(payload), rsv=RSV1), deflate=True), InvalidData)
    assert receive(frame(BINARY, payload)) == [BytesReceived(payload)]


def test_a_character_in_two_fragments():
    text = "\u20ac\U0001f600"
    for place in range(1, len(text.encode())):
        first, second = text.encode()[:place], text.encode()[place:]
        assert receive(frame(TEXT, first, fin=False), frame(CONT, second)) == [TextReceived(text)]


def test_a_wrong_byte_is_noticed_before_its_message_or_its_frame_is_complete():
    # Autobahn 6.4, strict.
    assert isinstance(error_of(frame(TEXT, b"abc\xff", fin=False)), InvalidData)
    assert isinstance(error_of(frame(TEXT, b"abc\xffdef", length=1000)[:20]), InvalidData)
    assert isinstance(error_of(frame(TEXT, b"\xf4", fin=False), frame(CONT, b"\x90", fin=False)), InvalidData)


# Broken frames


@pytest.mark.parametrize("opcode", [CONT, TEXT, BINARY, CLOSE, PING, PONG])
def test_unmasked_frames(opcode):
    error = error_of(frame(opcode, b"", mask=b""))
    assert isinstance(error, FrameError)
    assert error.close_code == 1002


@pytest.mark.parametrize("rsv", [RSV1, RSV2, RSV3, RSV1 | RSV2, RSV1 | RSV3, 0x70])
@pytest.mark.parametrize("opcode", [CONT, TEXT, BINARY, CLOSE, PING, PONG])
def test_reserved_bits(opcode, rsv):
    before = frame(TEXT, fin=False) if opcode == CONT else b""
    assert isinstance(error_of(before + frame(opcode, rsv=rsv)), FrameError)
    if rsv != RSV1 or opcode not in (TEXT, BINARY):
        assert isinstance(error_of(before + frame(opcode, rsv=rsv), deflate=True), FrameError)


@pytest.mark.parametrize("fin", [True, False])
@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcodes(opcode, fin):
    assert isinstance(error_of(frame(opcode, b"", fin=fin)), FrameError)
    assert isinstance(error_of(frame(TEXT, fin=False) + frame(opcode, b"x", fin=fin)), FrameError)


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_control_frames_are_short_and_whole(opcode):
    assert isinstance(error_of(frame(opcode, b"x" * 126)), FrameError)
    assert isinstance(error_of(frame(opcode, b"x" * 10, width=2)), FrameError)
    assert isinstance(error_of(frame(opcode, b"x", width=8)[:2]), FrameError)
    assert isinstance(error_of(frame(opcode, b"", fin=False)), FrameError)
    assert receive(frame(PING, b"x" * 125)) == [PingReceived(b"x" * 125)]


def test_the_order_of_fragments():
    assert isinstance(error_of(frame(CONT)), FrameError)
    assert isinstance(error_of(frame(TEXT) + frame(CONT, fin=False)), FrameError)
    assert isinstance(error_of(frame(TEXT, fin=False) + frame(TEXT)), FrameError)
    assert isinstance(error_of(frame(TEXT, fin=False) + frame(BINARY, fin=False)), FrameError)


@pytest.mark.parametrize("length", [2**63, 2**63 + 5, 2**64 - 1])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_length_with_its_top_bit_set(opcode, length):
    # CVE-2020-27813, CVE-2020-13935, CVE-2026-1528.
    assert isinstance(error_of(frame(opcode, b"", length=length, width=8)), FrameError)
    assert isinstance(error_of(frame(opcode, b"", length=length, width=8)[:10]), FrameError)


# Close


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_close_codes(code):
    payload = code.to_bytes(2, "big")
    assert receive(frame(CLOSE, payload)) == [CloseReceived(code, "")]
    assert receive(frame(CLOSE, payload + "caf\xe9".encode())) == [CloseReceived(code, "caf\xe9")]


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_invalid_close_codes(code):
    assert isinstance(error_of(frame(CLOSE, code.to_bytes(2, "big"))), FrameError)


def test_close_payloads():
    assert receive(frame(CLOSE)) == [CloseReceived(1005, "")]
    assert isinstance(error_of(frame(CLOSE, b"\x03")), FrameError)
    assert isinstance(error_of(frame(CLOSE, b"\x03\xe8\xff")), InvalidData)
    assert isinstance(error_of(frame(CLOSE, b"\x03\xe8" + "\u20ac".encode()[:2])), InvalidData)
    assert receive(frame(CLOSE, b"\x03\xe8" + b"x" * 123)) == [CloseReceived(1000, "x" * 123)]


def test_nothing_is_read_after_a_close_or_a_failure():
    for end in (frame(CLOSE), frame(TEXT, mask=b"")):
        parser = FrameParser(WebSocketLimits(), False)
        parser.receive(frame(TEXT, b"a", fin=False))
        assert len(parser.receive(end + frame(PING) + b"\x81")) == 1
        assert parser.receive(frame(PING)) == []
        assert not parser.message_started


# Limits


def test_a_message_at_and_above_its_limit():
    assert receive(frame(BINARY, b"x" * 1000), limits=SMALL) == [BytesReceived(b"x" * 1000)]
    error = error_of(frame(BINARY, b"x" * 1001), limits=SMALL)
    assert isinstance(error, MessageTooBig)
    assert error.close_code == 1009
    assert isinstance(error_of(frame(BINARY, b"", length=1001)[:8], limits=SMALL), MessageTooBig)


@pytest.mark.parametrize("length", [2**20 + 1, 2**32, 2**62, 2**63 - 1])
def test_an_announced_length_is_refused_at_its_head(length):
    tracemalloc.start()
    try:
        error = error_of(frame(BINARY, b"", length=length, width=8))
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()
    assert isinstance(error, MessageTooBig)


def test_an_announced_length_sets_nothing_aside():
    parser = FrameParser(WebSocketLimits(), False)
    tracemalloc.start()
    try:
        parser.receive(frame(BINARY, b"x", length=2**20, width=8))
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()


def test_fragments_count_in_bytes_and_in_number():
    # CVE-2026-42786, CVE-2026-48779, CVE-2026-62389.
    parts = [frame(BINARY, b"x" * 400, fin=False), frame(CONT, b"x" * 400, fin=False)]
    assert receive(*parts, frame(CONT, b"x" * 200), limits=SMALL) == [BytesReceived(b"x" * 1000)]
    assert isinstance(error_of(*parts, frame(CONT, b"x" * 201), limits=SMALL), MessageTooBig)
    empty = [frame(TEXT, fin=False), *[frame(CONT, fin=False)] * 8]
    assert receive(*empty, frame(CONT), limits=SMALL) == [TextReceived("")]
    assert isinstance(error_of(*empty, frame(CONT, fin=False), frame(CONT, fin=False), limits=SMALL), MessageTooBig)


# permessage-deflate


@pytest.mark.parametrize("places", [[], [1, 3, 8], range(5000)])
@pytest.mark.parametrize("payload", [b"", b"Hello", b"Hello " * 500, bytes(range(256)) * 3, "\u20ac".encode() * 300])
def test_compressed_messages(payload, places):
    data = frame(BINARY, deflated(payload), rsv=RSV1) + frame(BINARY, payload)
    assert receive(*cut(data, places), deflate=True) == [BytesReceived(payload)] * 2


def test_a_compressed_text_in_fragments():
    packed = deflated("caf\xe9 \u20ac".encode() * 50)
    parts = [
        frame(TEXT, packed[:7], fin=False, rsv=RSV1),
        frame(PING),
        frame(CONT, b"", fin=False),
        frame(CONT, packed[7:]),
    ]
    assert receive(*parts, deflate=True) == [PingReceived(b""), TextReceived("caf\xe9 \u20ac" * 50)]


@pytest.mark.parametrize("window_bits", [9, 12, 15])
def test_a_client_may_use_a_smaller_window(window_bits):
    payload = b"abcdefgh" * 1000
    assert receive(frame(BINARY, deflated(payload, window_bits=window_bits), rsv=RSV1), deflate=True) == [
        BytesReceived(payload)
    ]


def test_every_message_begins_with_an_empty_window():
    deflater = zlib.compressobj(wbits=-15)
    packed = [(deflater.compress(b"Hello, hello") + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4] for _ in range(2)]
    assert isinstance(error_of(*[frame(BINARY, part, rsv=RSV1) for part in packed], deflate=True), FrameError)


def test_the_examples_of_rfc_7692():
    # 7.2.3.1 to 7.2.3.5: plain, stored, last block, two blocks.
    for packed in ("f248cdc9c90700", "000500faff48656c6c6f00", "f348cdc9c9070000", "f248050000 00ffffcac9c90700"):
        data = bytes.fromhex(packed)
        assert receive(frame(TEXT, data, rsv=RSV1), deflate=True) == [TextReceived("Hello")]
        parts = [frame(TEXT, data[:3], rsv=RSV1, fin=False), frame(CONT, data[3:])]
        assert receive(*parts, deflate=True) == [TextReceived("Hello")]


@pytest.mark.parametrize("packed", [b"\xff\xff\xff", b"\x06", b"Hello", b"\xf3\x48\xcd\xc9\xc9\x07\x00\x01", b"\x07"])
def test_what_cannot_be_inflated(packed):
    assert isinstance(error_of(frame(TEXT, packed, rsv=RSV1), deflate=True), FrameError)


def test_bytes_behind_the_last_block():
    packed = bytes.fromhex("f348cdc9c9070000")
    for more in (b"\x00", b"Hello", packed):
        assert isinstance(error_of(frame(TEXT, packed + more, rsv=RSV1), deflate=True), FrameError)
        parts = [frame(TEXT, packed, rsv=RSV1, fin=False), frame(CONT, more)]
        assert isinstance(error_of(*parts, deflate=True), FrameError)


def test_the_limit_holds_for_inflated_bytes():
    assert receive(frame(BINARY, deflated(b"x" * 1000), rsv=RSV1), limits=SMALL, deflate=True) == [
        BytesReceived(b"x" * 1000)
    ]
    assert isinstance(
        error_of(frame(BINARY, deflated(b"x" * 1001), rsv=RSV1), limits=SMALL, deflate=True), MessageTooBig
    )


def test_what_cannot_be_compressed_may_still_reach_the_limit():
    payload = random.Random(1).randbytes(2**20)
    packed = deflated(payload)
    assert len(packed) > len(payload)
    assert receive(frame(BINARY, packed, rsv=RSV1), deflate=True) == [BytesReceived(payload)]
    assert isinstance(error_of(frame(BINARY, packed * 2, rsv=RSV1), deflate=True), MessageTooBig)


def test_empty_blocks_without_end_are_counted_as_sent():
    # They inflate to nothing, so the limit on inflated bytes never meets them.
    block = b"\x00\x00\x00\xff\xff"
    parts = [frame(BINARY, block * 20, rsv=RSV1, fin=False), *[frame(CONT, block * 20, fin=False)] * 8]
    assert receive(*parts, limits=SMALL, deflate=True) == []
    assert isinstance(error_of(*parts, *parts[1:4], limits=SMALL, deflate=True), MessageTooBig)


@pytest.mark.parametrize("places", [[], range(0, 10**6, 1460)])
def test_a_deflate_bomb_is_stopped_while_it_inflates(places):
    # CVE-2018-1000518 and its kin: 64 KiB on the wire, 64 MiB inflated.
    deflater = zlib.compressobj(9, wbits=-15)
    zeros = bytes(2**24)
    packed = b"".join(deflater.compress(zeros) for _ in range(4)) + deflater.flush(zlib.Z_SYNC_FLUSH)[:-4]
    data = cut(frame(BINARY, packed, rsv=RSV1), places)
    tracemalloc.start()
    try:
        error = error_of(*data, deflate=True)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
    assert isinstance(error, MessageTooBig)


# Cost


def test_an_idle_parser_is_small():
    parser = FrameParser(WebSocketLimits(), True)
    for data in (
        frame(TEXT, b"Hello"),
        frame(TEXT, deflated(b"Hello"), rsv=RSV1),
        frame(TEXT, b"a", fin=False),
        frame(CONT),
    ):
        parser.receive(data)
    own = sum(sys.getsizeof(getattr(parser, name)) for name in ("_buffer", "_message", "_ended", "_deflate"))
    assert sys.getsizeof(parser) + own < 256


def test_a_message_in_single_bytes_costs_its_bytes():
    data = frame(BINARY, b"x" * 200_000)
    parser = FrameParser(WebSocketLimits(), False)
    tracemalloc.start()
    try:
        for byte in data[:-1]:
            parser.receive(bytes([byte]))
        assert tracemalloc.get_traced_memory()[0] < 400_000
    finally:
        tracemalloc.stop()
    assert parser.receive(data[-1:]) == [BytesReceived(b"x" * 200_000)]


def test_the_mask_of_the_library_is_that_of_the_rfc():
    for size in (0, 1, 3, 4, 7, 8, 100):
        assert frame(BINARY, b"x" * size)[-size or 99 :] == websocket.apply_mask(b"x" * size, MASK)


# Properties


@st.composite
def messages(draw):
    """The frames of one message or control frame, and the event that they cause."""
    kind = draw(st.sampled_from(["text", "bytes", "ping", "pong"]))
    if kind == "ping":
        data = draw(st.binary(max_size=125))
        return frame(PING, data), PingReceived(data)
    if kind == "pong":
        data = draw(st.binary(max_size=125))
        return frame(PONG, data), PongReceived(data)
    text = draw(st.text(max_size=100)) * draw(st.sampled_from([1, 1, 1, 50]))
    payload = text.encode()
    packed = draw(st.booleans())
    sent = deflated(payload) if packed else payload
    pieces = cut(sent, draw(st.lists(st.integers(0, 10**6), max_size=3))) or [b""]
    opcode = TEXT if kind == "text" else BINARY
    data = b""
    for index, piece in enumerate(pieces):
        first, last = index == 0, index == len(pieces) - 1
        mask = draw(st.binary(min_size=4, max_size=4))
        data += frame(opcode if first else CONT, piece, fin=last, rsv=RSV1 if packed and first else 0, mask=mask)
        if not last and draw(st.booleans()):
            data += frame(PONG, b"")
    return data, TextReceived(text) if kind == "text" else BytesReceived(payload)


@given(st.lists(messages(), max_size=5), st.lists(st.integers(0, 10**6), max_size=8))
def test_any_cut_of_honest_frames_gives_the_same_messages(sent, places):
    data = b"".join(raw for raw, _ in sent)
    whole = receive(data, deflate=True)
    assert [event for event in whole if event != PongReceived(b"")] == [
        event for _, event in sent if event != PongReceived(b"")
    ]
    assert receive(*cut(data, places), deflate=True) == whole


@given(messages())
def test_byte_by_byte_gives_the_same_messages(sent):
    data, event = sent
    events = receive(*cut(data, range(len(data))), deflate=True)
    assert events[-1] == event


@given(
    st.lists(messages(), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    st.lists(st.integers(0, 10**6), max_size=6),
)
def test_any_damage_in_any_cut_gives_the_same_outcome(sent, damages, places):
    data = bytearray(b"".join(raw for raw, _ in sent))
    for place, byte in damages:
        data[place % len(data)] = byte
    assert outcome(*cut(bytes(data), places)) == outcome(bytes(data))


@given(st.lists(st.binary(max_size=60)), st.booleans())
def test_any_bytes_never_raise(pieces, deflate):
    assert sum(isinstance(event, PeerFailed) for event in receive(*pieces, deflate=deflate)) <= 1


def test_fuzzing_never_raises(soak):
    source = random.Random(7)
    for _ in range(5_000 * soak):
        data = b""
        for _ in range(source.randrange(1, 4)):
            payload = source.randbytes(source.choice([0, 1, 5, 200]))
            if source.random() < 0.3:
                payload = deflated(payload)
            raw = bytearray(
                frame(
                    source.choice([0, 1, 2, 8, 9, 10]),
                    payload,
                    fin=source.random() < 0.7,
                    rsv=source.choice([0, 0, 0x40]),
                )
            )
            if source.random() < 0.3:
                raw[source.randrange(len(raw))] = source.randrange(256)
            data += raw
        receive(*cut(data, [source.randrange(len(data)) for _ in range(3)]), limits=SMALL, deflate=True)
