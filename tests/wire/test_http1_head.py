"""`fairway.wire.http1_head`: every rule that a request head can break, each as one that broke somebody's server."""

import time

import pytest

from fairway.errors import BadRequest, HeadersTooLarge, UnsupportedVersion
from fairway.limits import HttpLimits
from fairway.wire.events import PeerFailed, RequestReceived
from fairway.wire.http1_head import parse_head, parse_line
from tests.wire.peers import parse, request


def received(head):
    event = parse(head)[0]
    assert isinstance(event, RequestReceived), event
    return event


def error_of(head):
    (event,) = parse(head)
    assert isinstance(event, PeerFailed), event
    return event.error


def assert_refused(head):
    error = error_of(head)
    assert isinstance(error, BadRequest)
    assert error.status == 400


# Request line


@pytest.mark.parametrize(
    "line",
    [
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b" GET / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET / x HTTP/1.1",
        b"GET /",
        b"GET",
        b"GET  HTTP/1.1",
        b"G\xc3\x8bT / HTTP/1.1",
        b"GET / http/1.1",
        b"GET / HTTP/1.1.1",
        b"GET / HTTP/11",
        b"GET / HTTP/1",
        b"GET / HTTP/1.10",
        b"GET / HTTQ/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET /a\x7fb HTTP/1.1",
        b"GET /a\x1bb HTTP/1.1",
        b"GET /a\tb HTTP/1.1",
        b"GET /a\rb HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1",
        b"GET /\x85 HTTP/1.1",
        b"NOSUCHMETHOD / HTTP/1.1",
        b"get / HTTP/1.1",
    ],
)
def test_malformed_request_lines(line):
    assert_refused(line + b"\r\nHost: a\r\n\r\n")


@pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"])
def test_other_versions(version):
    error = error_of(request(version=version))
    assert isinstance(error, UnsupportedVersion)
    assert error.status == 505


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_methods(method):
    assert received(request(method=method)).method == method


# Targets


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", b"/", b""),
        ("/?", b"/", b""),
        ("/a?b?c", b"/a", b"b?c"),
        ("//evil.example/x", b"//evil.example/x", b""),
        ("/%0d%0a", b"/%0d%0a", b""),
        ("/a|{}^\"<>`\\?'", b'/a|{}^"<>`\\', b"'"),
        ("http://example.com/a?b", b"/a", b"b"),
        ("http://example.com", b"/", b""),
        ("http://example.com?b", b"/", b"b"),
        ("HTTP://EXAMPLE.com/?http://other/", b"/", b"http://other/"),
        ("ws://example.com/chat", b"/chat", b""),
        ("/http://example.com/", b"/http://example.com/", b""),
    ],
)
def test_targets(target, path, query):
    event = received(request(target=target))
    assert (event.target, event.path, event.query) == (target.encode(), path, query)


def test_asterisk_is_for_options():
    assert received(request(method="OPTIONS", target="*")).path == b"*"
    assert_refused(request(method="GET", target="*"))


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("CONNECT", "example.com:443"),
        ("CONNECT", "/"),
        ("GET", "example.com:443"),
        ("GET", "a/b"),
        ("GET", "?a"),
        ("GET", "ftp://example.com/"),
        ("GET", "http:///a"),
        ("GET", "http:/example.com/a"),
        ("GET", "http://user@example.com/"),
        ("GET", "http://other.example/"),
        ("GET", "/a#b"),
        ("GET", "/a?b#c"),
    ],
)
def test_targets_that_no_origin_server_takes(method, target):
    assert_refused(request(method=method, target=target))


# Header lines


def test_values_lose_outer_white_space_only():
    head = request("A:b", "B:  b \t ", "C:", "D: \t ", "E: b \t c", b"F: \xe9\xff", "G: :")
    assert received(head).headers[1:] == [
        (b"a", b"b"),
        (b"b", b"b"),
        (b"c", b""),
        (b"d", b""),
        (b"e", b"b \t c"),
        (b"f", b"\xe9\xff"),
        (b"g", b":"),
    ]


def test_duplicates_keep_their_order():
    assert received(request("A: 1", "B: 2", "a: 3")).headers[1:] == [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]


@pytest.mark.parametrize("name", ["X_Forwarded_For", "Content_Length", "Transfer_Encoding", "_", "X-User_Id"])
def test_names_with_an_underscore_are_dropped(name):
    # CVE-2015-0219, CVE-2026-3902.
    event = received(request(f"{name}: 5", "X-User-Id: 1"))
    assert event.headers == [(b"host", b"example.com"), (b"x-user-id", b"1")]
    assert event.content_length == 0


@pytest.mark.parametrize("byte", [*range(0x09), *range(0x0A, 0x20), 0x7F, 0x85])
def test_control_bytes_in_a_value(byte):
    # CVE-2026-44546: 0x0b, 0x0c, 0x1c-0x1e and 0x85 end a line for `str.splitlines`.
    assert_refused(request(b"A: b" + bytes([byte]) + b"c"))
    assert_refused(request(b"A: b" + bytes([byte]) + b"Injected: c", "B: c"))
    assert_refused(request(b"A: " + bytes([byte])))


@pytest.mark.parametrize("byte", [*range(0x21), *b'"(),/;<=>?@[\\]{}', *range(0x7F, 0x100)])
def test_bytes_that_no_name_has(byte):
    assert_refused(request(b"A" + bytes([byte]) + b"b: c"))
    assert_refused(request(bytes([byte]) + b"Ab: c"))


@pytest.mark.parametrize(
    "line",
    [
        "A : b",
        "A\t: b",
        " A: b",
        "\tA: b",
        "A: b\r\n c",
        "A: b\r\n\tc",
        "A: b\r\n ",
        "A: b\nB: c",
        "A: b\rB: c",
        "A: b\r\rB: c",
        "A: b\n",
        "A: b\r",
        "\nA: b",
        "A",
        ":",
        ": b",
        "A b",
    ],
)
def test_malformed_header_lines(line):
    assert_refused(request(line))
    assert_refused(request("First: 1", line, "Last: 2"))


def test_the_first_header_line_is_not_folded_onto_the_request_line():
    assert_refused(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n")


# Host


@pytest.mark.parametrize(
    "host",
    ["a", "A.example", "a.example:80", "127.0.0.1:8000", "[::1]", "[::1]:8000", "a:", "my_host", "xn--bcher-kva.ch"],
)
def test_hosts(host):
    assert received(request(host=host)).headers == [(b"host", host.encode())]


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "a,b",
        "a/b",
        "a@b",
        "a:b",
        "a:80:80",
        "a:123456",
        "::1",
        "[::1",
        "[::1]x",
        "a\\b",
        "a?b",
        "a#b",
        "\xe9",
        "a'b",
    ],
)
def test_invalid_hosts(host):
    assert_refused(request(host=host))


def test_exactly_one_host():
    assert_refused(request(host=None))
    assert_refused(request("Host: example.com"))
    assert_refused(request("Host: other.example"))


def test_http_1_0_needs_no_host():
    assert received(request(host=None, version="HTTP/1.0")).headers == []
    assert_refused(request("Host: b", version="HTTP/1.0"))
    assert_refused(request(host="a b", version="HTTP/1.0"))


# Content-Length and Transfer-Encoding


def test_lengths():
    assert received(request("Content-Length: 0")).content_length == 0
    assert received(request("Content-Length: 005", body=b"abcde")).content_length == 5
    assert received(request(f"Content-Length: {10**18 - 1}")).content_length == 10**18 - 1


@pytest.mark.parametrize(
    "value",
    [
        "",
        "+5",
        "-0",
        "-5",
        "0x10",
        "5 5",
        "5,5",
        "5, 5",
        "5.0",
        "5e1",
        "1_0",
        "a",
        "\xb2",
        str(2**63),
        "9" * 30,
        "9" * 5000,
    ],
)
def test_invalid_lengths(value):
    # CVE-2022-24801 and its kin.
    assert_refused(request(f"Content-Length: {value}", body=b"abcde"))


@pytest.mark.parametrize("second", ["5", "6", "0"])
def test_two_lengths(second):
    # CVE-2020-10108; equal ones too.
    assert_refused(request("Content-Length: 5", f"Content-Length: {second}", body=b"abcde"))


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        *[
            [f"Transfer-Encoding: {value}"]
            for value in [
                "",
                "identity",
                "gzip",
                "gzip, chunked",
                "chunked, gzip",
                "chunked, chunked",
                "chunked,",
                ", chunked",
                "chunked;a=b",
                "chunke",
                "xchunked",
                '"chunked"',
                "chunked\x0b",
            ]
        ],
    ],
)
def test_transfer_encodings_that_could_be_read_in_two_ways(lines):
    # CVE-2020-10109.
    assert_refused(request(*lines, method="POST", body=b"0\r\n\r\n"))


def test_chunked_in_any_case():
    assert received(request("Transfer-Encoding: Chunked ", method="POST")).content_length is None


def test_no_chunks_in_http_1_0():
    assert_refused(request("Transfer-Encoding: chunked", version="HTTP/1.0"))


# Connection and Expect


@pytest.mark.parametrize(
    ("version", "lines", "keep_alive"),
    [
        ("HTTP/1.1", [], True),
        ("HTTP/1.1", ["Connection: close"], False),
        ("HTTP/1.1", ["Connection: foo, Close"], False),
        ("HTTP/1.1", ["Connection: keep-alive", "Connection: close"], False),
        ("HTTP/1.1", ["Connection: closed"], True),
        ("HTTP/1.0", [], False),
        ("HTTP/1.0", ["Connection: Keep-Alive"], True),
        ("HTTP/1.0", ["Connection: keep-alive, close"], False),
    ],
)
def test_keep_alive(version, lines, keep_alive):
    assert received(request(*lines, version=version)).keep_alive is keep_alive


def test_expect_continue():
    expect = "Expect: 100-Continue"
    assert received(request(expect, "Content-Length: 5")).expects_continue
    assert received(request(expect, "Transfer-Encoding: chunked")).expects_continue
    assert not received(request(expect)).expects_continue
    assert not received(request(expect, "Content-Length: 0")).expects_continue
    assert not received(request(expect, "Content-Length: 5", version="HTTP/1.0")).expects_continue
    assert not received(request("Expect: something", "Content-Length: 5")).expects_continue


# The functions by themselves


def test_a_head_that_ends_early_for_one_of_two_parsers_is_refused():
    line = parse_line(b"GET / HTTP/1.1")
    with pytest.raises(BadRequest):
        parse_head(line, b"GET / HTTP/1.1\r\n\r\nHost: a\r\n\r\n", HttpLimits())
    with pytest.raises(BadRequest):
        parse_head(line, b"GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n", HttpLimits())


def test_too_many_lines_are_counted_before_they_are_split():
    with pytest.raises(HeadersTooLarge):
        parse_head(parse_line(b"GET / HTTP/1.1"), request(*["A: b"] * 128), HttpLimits())


@pytest.mark.parametrize(
    "line", ["Connection: " + "," * 60_000, "Connection: " + "a," * 30_000, "A: " + " " * 60_000 + "b"]
)
def test_long_values_take_linear_time(line):
    head = request(line)
    started = time.process_time()
    parse(head)
    assert time.process_time() - started < 3
