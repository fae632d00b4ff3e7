"""What the server knows about a request: its scope, its scheme, its line in the access log."""

import pytest

from fairway.errors import BadRequest
from fairway.server.exchange import Step, access_of, address_of, new_exchange
from fairway.server.proxies import Proxies
from fairway.wire.events import RequestReceived

PEER = ("127.0.0.1", 5000)
FORWARDED = [
    (b"x-forwarded-for", b"203.0.113.9"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"a.example"),
]
PROXY = Proxies(["127.0.0.1"])


def received(*headers, path=b"/a%20b", upgrade=False):
    return RequestReceived(
        method="GET",
        target=path + b"?q",
        path=path,
        query=b"q",
        http_version="1.1",
        headers=[(b"host", b"b.example"), *headers],
        keep_alive=True,
        upgrade=upgrade,
        content_length=0,
        expects_continue=False,
    )


def exchange(*headers, proxies=PROXY, **changes):
    return new_exchange(received(*headers, **changes), PEER, proxies, 10.0)


def test_the_scope_of_a_request():
    scope = exchange((b"a", b"b")).scope(("127.0.0.1", 80), "/mount")
    assert (scope.path, scope.query_string, scope.method, scope.scheme) == ("/a b", b"q", "GET", "http")
    assert (scope.client, scope.server, scope.root_path) == (PEER, ("127.0.0.1", 80), "/mount")
    assert scope.headers == [(b"host", b"b.example"), (b"a", b"b")]


def test_a_path_that_is_no_text_is_refused():
    with pytest.raises(BadRequest, match="not UTF-8"):
        exchange(path=b"/%ff").scope(None, "")


@pytest.mark.parametrize(("upgrade", "schemes"), [(False, ("http", "https")), (True, ("ws", "wss"))])
def test_a_proxy_tells_the_scheme(upgrade, schemes):
    assert exchange(upgrade=upgrade).scheme == schemes[0]
    assert exchange(*FORWARDED, upgrade=upgrade).scheme == schemes[1]


def test_a_proxy_tells_the_client_and_its_headers_travel_on():
    told = exchange(*FORWARDED)
    assert (told.client, told.host) == (("203.0.113.9", 0), b"a.example")
    scope = told.scope(None, "")
    assert scope.client == ("203.0.113.9", 0)
    assert scope.headers == [(b"host", b"b.example"), *FORWARDED]


def test_anybody_else_tells_nothing_and_their_headers_travel_on():
    told = exchange(*FORWARDED, proxies=Proxies(["10.0.0.1"]))
    assert (told.client, told.is_secure, told.host) == (PEER, False, b"")
    assert told.scope(None, "").headers == [(b"host", b"b.example"), *FORWARDED]


def test_a_socket_keeps_no_headers():
    told = exchange(upgrade=True)
    told.shed()
    assert told.request.headers == []
    assert told.request.target == b"/a%20b?q"


def test_the_line_of_the_access_log():
    told = exchange(*FORWARDED, (b"user-agent", b"curl\xe9"), (b"referer", b"http://r"))
    access = access_of(Step("http", 200, 5, "http.response.A!1"), told, PEER, 10.5)
    assert (access.action, access.method, access.path, access.status, access.size) == (
        "http",
        "GET",
        "/a%20b?q",
        200,
        5,
    )
    assert (access.client, access.seconds, access.connection) == ("203.0.113.9:0", 0.5, "http.response.A!1")
    assert (access.user_agent, access.referer, access.http_version) == ("curl\xe9", "http://r", "1.1")


def test_the_line_of_what_was_no_request():
    access = access_of(Step("http", 400), None, PEER, 10.5)
    assert (access.client, access.method, access.path, access.seconds) == ("127.0.0.1:5000", "", "", 0.0)
    assert access_of(Step("http", 400), None, None, 10.5).client == ""


def test_a_unix_socket_has_no_address():
    assert address_of("/run/f.sock") is None
    assert address_of(b"") is None
    assert address_of(("::1", 80, 0, 0)) == ("::1", 80)


def test_the_origin_is_compared_with_the_host_that_was_asked_for(caplog):
    assert exchange((b"origin", b"http://b.example"), upgrade=True).is_origin_allowed(())
    assert exchange((b"origin", b"https://a.example"), *FORWARDED, upgrade=True).is_origin_allowed(())
    assert exchange((b"origin", b"https://c.example"), upgrade=True).is_origin_allowed(["https://c.example"])
    assert not caplog.messages
    assert not exchange((b"origin", b"https://evil.example"), upgrade=True).is_origin_allowed(())
    assert caplog.messages == [
        "WebSocket '/a%20b' refused: origin b'https://evil.example' is not allowed for host b'b.example'"
    ]
