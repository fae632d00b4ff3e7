"""The forms of a line, and that nothing a peer sends can leave its line or reach a terminal."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.server.access_format import new_format
from fairway.server.config import Access

NOW = 1_795_000_000.25
COMMON = re.compile(
    r'(\S+) - - \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "([^"]*)" (\d+|-) (\d+|-) "([^"]*)" "([^"]*)"\n'
)


def access(action="http", **changes):
    told = {
        "client": "192.0.2.1:5000",
        "method": "GET",
        "path": "/a%20b?q=1",
        "http_version": "1.1",
        "status": 200,
        "size": 12,
        "seconds": 0.1234567,
        "connection": "http.response.A!1",
        "user_agent": "curl/8",
        "referer": "http://r/",
    }
    return Access(action=action, **{**told, **changes})


def common(*arguments, **changes):
    return COMMON.fullmatch(new_format("common")(access(*arguments, **changes), NOW)).groups()


def as_json(*arguments, **changes):
    line = new_format("json")(access(*arguments, **changes), NOW)
    assert line.endswith("}\n")
    return json.loads(line)


def test_a_common_line():
    host, stamp, request, status, size, referer, agent = common()
    assert (host, request) == ("192.0.2.1", "GET /a%20b?q=1 HTTP/1.1")
    assert (status, size, referer, agent) == ("200", "12", "http://r/", "curl/8")
    assert re.fullmatch(r"1\d/Nov/2026:\d\d:\d\d:40 [+-]\d{4}", stamp)


def test_the_time_of_a_common_line_moves_on():
    format_line = new_format("common")
    stamps = [COMMON.fullmatch(format_line(access(), NOW + ahead))[2] for ahead in (0, 0.5, 1)]
    assert stamps[0] == stamps[1] != stamps[2]


@pytest.mark.parametrize(
    ("action", "word"),
    [
        ("connecting", "WSCONNECTING"),
        ("connected", "WSCONNECT"),
        ("rejected", "WSREJECT"),
        ("disconnected", "WSDISCONNECT"),
    ],
)
def test_websockets_have_a_word_in_place_of_a_method_and_no_status(action, word):
    assert common(action, status=403)[2:5] == (f"{word} /a%20b?q=1 HTTP/1.1", "-", "-")


def test_what_is_not_known_is_a_dash():
    host, _, request, status, size, referer, agent = common(
        client="", method="", path="", http_version="", status=0, size=0, user_agent="", referer=""
    )
    assert (host, request, status, size, referer, agent) == ("-", "-", "-", "0", "-", "-")


def test_an_ipv6_client():
    assert common(client="2001:db8::1:5000")[0] == "2001:db8::1"


def test_quotes_control_bytes_and_high_bytes_are_escaped():
    line = common(user_agent='a"b\\c\x1b[31m\x85\xff\n', path="/\x7f")
    assert line[6] == r"a\x22b\x5cc\x1b[31m\x85\xff\x0a"
    assert line[2] == r"GET /\x7f HTTP/1.1"


def test_a_json_line():
    assert as_json() == {
        "time": "2026-11-18T11:06:40.250Z",
        "protocol": "http",
        "action": "http",
        "client": "192.0.2.1:5000",
        "method": "GET",
        "path": "/a%20b?q=1",
        "http": "1.1",
        "seconds": 0.123457,
        "connection": "http.response.A!1",
        "status": 200,
        "bytes": 12,
        "user_agent": "curl/8",
        "referer": "http://r/",
    }


def test_json_lines_of_a_websocket():
    connected = as_json("connected", status=101)
    assert (connected["protocol"], connected["action"], connected["status"]) == ("websocket", "connected", 101)
    assert "bytes" not in connected
    ended = as_json("disconnected", status=1006)
    assert (ended["close_code"], "status" in ended) == (1006, False)


def test_json_lines_are_printable_ascii():
    line = new_format("json")(access(user_agent='\x1b\x7f\x9b\xff"\n'), NOW)
    assert re.fullmatch(r"[\x20-\x7e]+\n", line)
    assert json.loads(line)["user_agent"] == '\x1b\x7f\x9b\xff"\n'


@given(st.text(st.characters(max_codepoint=255)), st.text(st.characters(max_codepoint=255)))
def test_whatever_a_peer_sends_stays_in_its_place(path, agent):
    fields = common(path=path, user_agent=agent)
    assert all(re.fullmatch(r"[\x20-\x7e]*", field) for field in fields)
    found = as_json(path=path, user_agent=agent)
    assert (found["path"], found.get("user_agent", "")) == (path, agent)
