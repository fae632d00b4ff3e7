"""`fairway.wire.http1`: where one request ends and the next begins, and that nothing a peer sends raises."""

import dataclasses
import itertools
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fairway.errors import BadRequest, HeadersTooLarge, RequestTooLarge, UnsupportedVersion
from fairway.limits import HttpLimits
from fairway.wire.events import BodyReceived, PeerFailed, RequestEnded, RequestReceived
from fairway.wire.http1 import Http1Parser
from tests.wire.peers import cut, joined, parse, request, upgrade

CHUNKED = request("Transfer-Encoding: chunked", method="POST")
SMALL = HttpLimits(request_line=64, header_bytes=256, header_count=8)


def error_of(*pieces, limits=None):
    last = parse(*pieces, limits=limits)[-1]
    assert isinstance(last, PeerFailed)
    return last.error


def kinds(events):
    return [type(event).__name__ for event in events]


def test_a_request_without_a_body():
    received, ended = parse(request("Accept: */*", target="/a%20b?c=d&e"))
    assert received == RequestReceived(
        method="GET",
        target=b"/a%20b?c=d&e",
        path=b"/a%20b",
        query=b"c=d&e",
        http_version="1.1",
        headers=[(b"host", b"example.com"), (b"accept", b"*/*")],
        keep_alive=True,
        upgrade=False,
        content_length=0,
        expects_continue=False,
    )
    assert ended == RequestEnded()


def test_a_body_with_a_length():
    received, *rest = parse(request("Content-Length: 5", method="POST", body=b"abcde"))
    assert received.content_length == 5
    assert rest == [BodyReceived(b"abcde"), RequestEnded()]


def test_a_body_in_chunks_is_one_event_for_each_read():
    received, *rest = parse(CHUNKED + b"5\r\nabcde\r\n3;a=b\r\nfgh\r\n0\r\nTrailer: x\r\n\r\n")
    assert received.content_length is None
    assert rest == [BodyReceived(b"abcdefgh"), RequestEnded()]


def test_pipelined_requests_come_in_order():
    first = request("Content-Length: 2", method="POST", target="/1", body=b"ab")
    events = parse(first + request(target="/2") + request(target="/3"))
    assert [event.path for event in events if isinstance(event, RequestReceived)] == [b"/1", b"/2", b"/3"]
    assert kinds(events) == [
        "RequestReceived",
        "BodyReceived",
        *["RequestEnded", "RequestReceived"] * 2,
        "RequestEnded",
    ]


def test_a_body_that_looks_like_a_request_is_a_body():
    inner = request(target="/admin")
    outer = request(f"Content-Length: {len(inner)}", method="POST")
    assert parse(outer + inner)[1:] == [BodyReceived(inner), RequestEnded()]


def test_started_is_true_only_inside_a_head():
    parser = Http1Parser(HttpLimits())
    assert not parser.started
    parser.receive(b"\r\n")
    assert not parser.started
    head = request("Content-Length: 1", method="POST")
    for byte in head[:-1]:
        assert parser.receive(bytes([byte])) == []
        assert parser.started
    parser.receive(head[-1:])
    assert not parser.started
    parser.receive(b"x")
    assert not parser.started
    parser.receive(b"G")
    assert parser.started


def test_started_is_false_after_a_failure():
    parser = Http1Parser(HttpLimits())
    parser.receive(b"nonsense\r\n")
    assert not parser.started


def test_one_empty_line_before_a_request_is_forgiven():
    assert kinds(parse(b"\r\n" + request() + b"\r\n" + request())) == ["RequestReceived", "RequestEnded"] * 2
    assert error_of(b"\r\n\r\n").status == 400


def test_after_the_last_request_nothing_is_parsed():
    parser = Http1Parser(HttpLimits())
    assert len(parser.receive(request("Connection: close") + request())) == 2
    assert parser.receive(request()) == []
    assert not parser.started


def test_after_a_failure_nothing_is_parsed():
    parser = Http1Parser(HttpLimits())
    assert kinds(parser.receive(request() + b"GARBAGE\r\n" + request())) == [
        "RequestReceived",
        "RequestEnded",
        "PeerFailed",
    ]
    assert parser.receive(request()) == []


def test_after_an_upgrade_the_rest_is_left_over():
    parser = Http1Parser(HttpLimits())
    (received,) = parser.receive(upgrade() + b"\x81\x80abcd" + request())
    assert received.upgrade
    assert received.keep_alive
    assert parser.leftover == b"\x81\x80abcd" + request()
    assert parser.receive(b"more") == []


def test_upgrade_tokens_in_lists_and_in_any_case():
    head = request("Connection: keep-alive, uPgrade", "Upgrade: h2c", "Upgrade: foo/2, WebSocket")
    assert parse(head)[0].upgrade


@pytest.mark.parametrize(
    "head",
    [
        request("Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        request("Connection: Upgrade", "Upgrade: websockets"),
        request("Connection: close", "Upgrade: websocket"),
        request("Upgrade: websocket"),
        request("Connection: Upgrade", "Upgrade: websocket", method="POST"),
        request("Connection: Upgrade", "Upgrade: websocket", version="HTTP/1.0"),
    ],
)
def test_any_other_upgrade_is_ordinary_http(head):
    received, ended = parse(head)
    assert not received.upgrade
    assert ended == RequestEnded()


def test_an_ignored_upgrade_may_have_a_body():
    head = request("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 3", method="POST")
    assert kinds(parse(head + b"abc" + request())) == [
        "RequestReceived",
        "BodyReceived",
        "RequestEnded",
        "RequestReceived",
        "RequestEnded",
    ]


@pytest.mark.parametrize("line", ["Content-Length: 1", "Transfer-Encoding: chunked"])
def test_a_handshake_with_a_body_is_refused(line):
    assert isinstance(error_of(upgrade(line)), BadRequest)


def test_a_handshake_may_say_that_it_has_no_body():
    assert parse(upgrade("Content-Length: 0"))[0].upgrade


# Limits


def test_a_request_line_at_and_above_its_limit():
    assert parse(request(target="/" + "a" * 50), limits=SMALL)[0].path == b"/" + b"a" * 50
    assert len(request(target="/" + "a" * 50).split(b"\r\n")[0]) == 64
    assert isinstance(error_of(request(target="/" + "a" * 51), limits=SMALL), HeadersTooLarge)
    assert isinstance(error_of(b"a" * 66, limits=SMALL), HeadersTooLarge)
    assert parse(b"a" * 65, limits=SMALL) == []


def test_header_bytes_at_and_above_their_limit():
    room = 256 - len(b"Host: example.com\r\n") - len(b"A: \r\n")
    assert kinds(parse(request("A: " + "b" * room), limits=SMALL)) == ["RequestReceived", "RequestEnded"]
    assert isinstance(error_of(request("A: " + "b" * (room + 1)), limits=SMALL), HeadersTooLarge)
    assert isinstance(error_of(request("A: " + "b" * 10_000)[:-4], limits=SMALL), HeadersTooLarge)


def test_header_lines_at_and_above_their_limit():
    assert kinds(parse(request(*["A: b"] * 7), limits=SMALL)) == ["RequestReceived", "RequestEnded"]
    assert isinstance(error_of(request(*["A: b"] * 8), limits=SMALL), HeadersTooLarge)


def test_an_endless_head_ends_at_its_limit():
    parser = Http1Parser(HttpLimits())
    parser.receive(b"GET / HTTP/1.1\r\n")
    endless = itertools.repeat(b"A: b\r\n")
    sent, events = next((sent, events) for sent, line in enumerate(endless) if (events := parser.receive(line)))
    assert sent * 6 <= HttpLimits().header_bytes
    assert isinstance(events[0].error, HeadersTooLarge)


def test_a_body_above_its_limit_by_its_length():
    limits = HttpLimits(body_total=4)
    assert kinds(parse(request("Content-Length: 4", body=b"abcd"), limits=limits))[-1] == "RequestEnded"
    assert isinstance(error_of(request("Content-Length: 5"), limits=limits), RequestTooLarge)


def test_a_body_above_its_limit_by_its_chunks():
    limits = HttpLimits(body_total=4)
    assert parse(CHUNKED + b"4\r\nabcd\r\n0\r\n\r\n", limits=limits)[-1] == RequestEnded()
    assert isinstance(error_of(CHUNKED + b"2\r\nab\r\n3\r\n", limits=limits), RequestTooLarge)


# Broken rules that show before a head is complete


@pytest.mark.parametrize(
    "first", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", b"GET / HTTP/1.1\n", b"\n", b"GET /\r\n", b"\x00\r\n"]
)
def test_what_is_no_http_is_told_at_its_first_line(first):
    assert isinstance(error_of(first), BadRequest)


def test_the_preface_of_http_2_is_another_version():
    assert isinstance(error_of(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), UnsupportedVersion)


# Properties

TOKENS = st.sampled_from(["Accept", "X-A", "x-b", "X_C", "Cookie", "Referer"])
VALUES = st.text(alphabet=[chr(c) for c in range(0x20, 0x7F)] + ["\t", "\xe9"], max_size=20)


@st.composite
def requests(draw):
    """An honest request: its bytes, and its body."""
    lines = [f"{name}: {value}" for name, value in draw(st.lists(st.tuples(TOKENS, VALUES), max_size=5))]
    body = draw(st.binary(max_size=60))
    if draw(st.booleans()):
        return request(f"Content-Length: {len(body)}", *lines, method="POST", body=body), body
    pieces = [piece for piece in cut(body, draw(st.lists(st.integers(0, 60), max_size=3))) if piece]
    coded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    trailers = "".join(f"{name}: {value}\r\n" for name, value in draw(st.lists(st.tuples(TOKENS, VALUES), max_size=2)))
    coded += b"0\r\n" + trailers.encode("latin-1") + b"\r\n"
    return request("Transfer-Encoding: chunked", *lines, method="POST", body=coded), body


@given(st.lists(requests(), min_size=1, max_size=3), st.lists(st.integers(0, 2000), max_size=12))
def test_any_cut_of_honest_bytes_gives_the_same_events(exchanges, places):
    data = b"".join(raw for raw, _ in exchanges)
    whole = joined(parse(data))
    assert joined(parse(*cut(data, places))) == whole
    bodies = [event.data for event in whole if isinstance(event, BodyReceived)]
    assert bodies == [body for _, body in exchanges if body]
    assert kinds(whole).count("RequestEnded") == len(exchanges)


@given(st.lists(requests(), min_size=1, max_size=2))
def test_byte_by_byte_gives_the_same_events(exchanges):
    data = b"".join(raw for raw, _ in exchanges)
    assert joined(parse(*cut(data, range(len(data))))) == joined(parse(data))


SEEDS = [
    request("Content-Length: 5", method="POST", body=b"abcde"),
    CHUNKED + b"5\r\nabcde\r\n0\r\nA: b\r\n\r\n",
    upgrade(),
    request("Connection: close", target="http://example.com/x?y"),
]


def outcome(*pieces):
    """Events and the kind of failure; which of two broken rules is named may depend on what had arrived."""
    events = joined(parse(*pieces))
    return [type(event) if isinstance(event, PeerFailed) else event for event in events]


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=4), st.integers(0, 3)), min_size=1, max_size=4),
    st.lists(st.integers(0, 400), max_size=6),
)
@example(CHUNKED + b"5\r\nabcde\r\n0\r\n\r\n", [(70, b"\n", 1)], [69])
def test_any_damage_in_any_cut_never_raises(seed, damages, places):
    data = bytearray(seed + request())
    for place, insert, remove in damages:
        start = place % len(data)
        data[start : start + remove] = insert
    data = bytes(data)
    assert outcome(*cut(data, places)) == outcome(data)


@given(st.lists(st.binary(max_size=100)))
def test_any_bytes_never_raise(pieces):
    assert kinds(parse(*pieces)).count("PeerFailed") <= 1


def test_fuzzing_never_raises(soak):
    source = random.Random(7)
    words = [b"\r\n", b"\n", b"\r", b":", b" ", b"0", b"5", b"HTTP/1.1", b"GET ", b"chunked", b"\x00", b"\x85", b"A: b"]
    for _ in range(3_000 * soak):
        data = bytearray(source.choice(SEEDS))
        for _ in range(source.randrange(1, 6)):
            data.insert(source.randrange(len(data)), 0)
            start = source.randrange(len(data))
            data[start : start + source.randrange(3)] = source.choice(words)
        parse(*cut(bytes(data), [source.randrange(len(data)) for _ in range(source.randrange(4))]))


def test_the_time_for_many_headers_is_linear():
    # CVE-2025-14550: joining repeated headers again and again. Here the work is bounded by bytes that are read once.
    limits = dataclasses.replace(HttpLimits(), header_count=100_000, header_bytes=10**7)
    (received, _) = parse(request(*["Cookie: a=b"] * 50_000), limits=limits)
    assert len(received.headers) == 50_001
