"""The grammar of forwarding headers: what is an address, and where a list is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.server.forwarding import (
    from_the_right,
    last_item,
    parse_elements,
    parse_entry,
    parse_host,
    parse_ip,
    parse_port,
)


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        (b"192.0.2.1", ("192.0.2.1", 7)),
        (b" \t192.0.2.1 ", ("192.0.2.1", 7)),
        (b"192.0.2.1:80", ("192.0.2.1", 80)),
        (b"192.0.2.1:99999", ("192.0.2.1", 0)),
        (b"2001:DB8::1", ("2001:db8::1", 7)),
        (b"[2001:db8:0:0::1]", ("2001:db8::1", 7)),
        (b"[2001:db8::1]:443", ("2001:db8::1", 443)),
        (b"::ffff:192.0.2.1", ("192.0.2.1", 7)),
        (b"[::ffff:192.0.2.1]:5", ("192.0.2.1", 5)),
    ],
)
def test_an_address_is_read_in_every_spelling(entry, address):
    assert parse_entry(entry, 7) == address


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b" ",
        b"unknown",
        b"_hidden",
        b"localhost",
        b"192.0.2",
        b"192.0.2.256",
        b"192.0.02.1",
        b"0x7f.0.0.1",
        b"[192.0.2.1]",
        b"[::1",
        b"::1]",
        b"[::1]80",
        b"fe80::1%eth0",
        b"192.0.2.1:",
        b"192.0.2.1:8a",
        b"192.0.2.1 192.0.2.2",
        b'"192.0.2.1"',
        b"\xd9\xa1.0.0.1",
        b"1" * 5000,
        b":" * 5000,
    ],
)
def test_what_is_no_address_is_none(entry):
    assert parse_entry(entry) is None


@given(st.binary(max_size=60))
def test_no_bytes_are_too_odd(data):
    parse_entry(data)
    parse_elements(data)
    parse_host(data)
    parse_port(data)
    assert b",".join(reversed(list(from_the_right([data])))) == data


def test_no_text_is_an_address_by_accident():
    assert parse_ip("10.0.0.0/8") is None


@pytest.mark.parametrize(("value", "port"), [(b"443", 443), (b"0", 0), (b"", 0), (b"-1", 0), (b"65536", 0), (b"+1", 0)])
def test_a_port_is_a_number_or_unknown(value, port):
    assert parse_port(value) == port


@pytest.mark.parametrize("host", [b"example.com", b"example.com:8443", b"[::1]:80", b"a_b-c.d"])
def test_a_host_is_taken(host):
    assert parse_host(host) == host


@pytest.mark.parametrize("host", [b"", b"a b", b"http://a", b"a,b", b"a/b", b"a@b", b"a:b", b"[::1"])
def test_what_is_no_host_is_none(host):
    assert parse_host(host) is None


@pytest.mark.parametrize(
    ("values", "item"), [([], b""), ([b"a"], b"a"), ([b"a, b "], b"b"), ([b"a", b"b,\tc"], b"c"), ([b"a,"], b"")]
)
def test_the_last_item_is_the_nearest_proxys(values, item):
    assert last_item(values) == item


def test_a_list_is_read_from_its_end_over_all_its_lines():
    assert list(from_the_right([b"a, b", b"c", b"", b"d,"])) == [b"", b"d", b"", b"c", b" b", b"a"]


@pytest.mark.parametrize(
    ("line", "elements"),
    [
        (b"for=192.0.2.1", [{b"for": b"192.0.2.1"}]),
        (b"For=a;PROTO=https , for=b", [{b"for": b"a", b"proto": b"https"}, {b"for": b"b"}]),
        (b'for="[2001:db8::1]:80"', [{b"for": b"[2001:db8::1]:80"}]),
        (b"for=[::1]:80", [{b"for": b"[::1]:80"}]),
        (rb'for="a\"b\\c"', [{b"for": rb"a\"b\c".replace(rb"\"", b'"')}]),
        (b'for=",;="', [{b"for": b",;="}]),
        (b"", []),
        (b" , ,for=a;, ;", [{b"for": b"a"}]),
    ],
)
def test_forwarded_is_read_as_elements(line, elements):
    assert parse_elements(line) == elements


@pytest.mark.parametrize(
    "line",
    [
        b"for",
        b"for=",
        b"for = a",
        b'for="a',
        b'for="a"b',
        b"for=a b",
        b"=a",
        b"for=a;for=b",
        b'x=", for=1.2.3.4',
        b"for=a\x01",
    ],
)
def test_a_malformed_line_says_nothing(line):
    assert parse_elements(line) is None
