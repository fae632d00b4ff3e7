"""Whom the server believes, and how far: spoofed chains in every shape."""

import asyncio

import pytest

from fairway.errors import UsageError
from fairway.server.proxies import Forwarded, Proxies
from tests.server.support import ask, limits, request, serving, upgrade

PEER = ("10.0.0.1", 5000)
FAR = ("203.0.113.9", 5000)
PROXIES = Proxies(["10.0.0.0/8", "::1", "2001:db8:5::/48"])


def read(*headers, peer=PEER, proxies=PROXIES):
    return proxies.read(peer, [(name.encode(), value.encode("latin-1")) for name, value in headers])


def client(*chain, peer=PEER):
    """The client that these lines of X-Forwarded-For make."""
    found = read(*[("x-forwarded-for", line) for line in chain], peer=peer).client
    return found and found[0]


@pytest.mark.parametrize(
    ("host", "is_trusted"),
    [
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("::1", True),
        ("::2", False),
        ("2001:db8:5:1::9", True),
        ("::ffff:10.0.0.1", True),
        ("::ffff:11.0.0.1", False),
        ("fe80::1%eth0", False),
        ("nonsense", False),
    ],
)
def test_a_peer_is_a_proxy_by_its_own_address(host, is_trusted):
    assert PROXIES.trusts((host, 1)) is is_trusted


def test_peers_on_a_unix_socket_are_trusted_by_name_only():
    assert not PROXIES.trusts(None)
    assert Proxies(["unix"]).trusts(None)
    assert not Proxies(["unix"]).trusts(PEER)
    assert not Proxies([]).trusts(PEER)


@pytest.mark.parametrize("entry", ["localhost", "*", "", "10.0.0.1/8", "10.0.0.0/33", "[::1]", "10.0.0.1:80"])
def test_an_entry_that_is_no_network_is_named(entry):
    with pytest.raises(UsageError) as caught:
        Proxies(["::1", entry])
    assert str(caught.value).startswith(f"proxies: {entry!r} is neither an address nor a network")
    assert "10.0.0.0/8" in str(caught.value)


@pytest.mark.parametrize("peer", [FAR, None])
def test_nobody_else_may_say_anything(peer):
    told = read(
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-port", "1"),
        ("forwarded", "for=1.1.1.1;proto=https;host=evil.example"),
        peer=peer,
    )
    assert told == Forwarded(peer, is_secure=False, host=None)


@pytest.mark.parametrize(
    ("chain", "host"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
        (["6.6.6.6, 203.0.113.9, 10.3.3.3"], "203.0.113.9"),
        (["6.6.6.6", "203.0.113.9", "10.3.3.3,10.4.4.4"], "203.0.113.9"),
        (["10.9.9.9, 203.0.113.9"], "203.0.113.9"),
        (["10.9.9.9, 10.8.8.8"], "10.9.9.9"),
        (["2001:db8:5::1, 2001:db8::9, [2001:db8:5::2]:443"], "2001:db8::9"),
        (["6.6.6.6, unknown"], "10.0.0.1"),
        (["6.6.6.6, unknown, 10.3.3.3"], "10.3.3.3"),
        (["6.6.6.6, _secret, 203.0.113.9"], "203.0.113.9"),
        (["6.6.6.6,"], "10.0.0.1"),
        ([""], "10.0.0.1"),
        (["6.6.6.6", ""], "10.0.0.1"),
        (["6.6.6.6\x0b"], "10.0.0.1"),
        (["127.0.0.1"], "127.0.0.1"),
    ],
)
def test_the_rightmost_address_that_is_no_proxy_is_the_client(chain, host):
    assert client(*chain) == host


def test_the_port_is_that_of_the_entry_else_the_proxys_header_else_unknown():
    assert read(("x-forwarded-for", "1.1.1.1:99"), ("x-forwarded-port", "443")).client == ("1.1.1.1", 99)
    assert read(("x-forwarded-for", "1.1.1.1"), ("x-forwarded-port", "1, 443")).client == ("1.1.1.1", 443)
    assert read(("x-forwarded-for", "1.1.1.1"), ("x-forwarded-port", "a")).client == ("1.1.1.1", 0)
    assert read(("x-forwarded-for", "1.1.1.1")).client == ("1.1.1.1", 0)
    assert read(("x-forwarded-port", "443")).client == PEER


@pytest.mark.parametrize(
    ("proto", "is_secure"),
    [("https", True), ("HTTPS", True), ("wss", True), ("http", False), ("ws", False), ("http, https", True)],
)
def test_the_scheme_is_the_last_one_told(proto, is_secure):
    assert read(("x-forwarded-proto", proto)).is_secure is is_secure


@pytest.mark.parametrize("proto", ["https, http", "", "https;", "javascript", "on", "https,"])
def test_what_is_no_scheme_is_not_secure(proto):
    assert not read(("x-forwarded-proto", proto)).is_secure


def test_the_host_is_the_last_one_told():
    assert read(("x-forwarded-host", "a.example, b.example:8443")).host == b"b.example:8443"
    assert read(("x-forwarded-host", "a.example, b b")).host is None
    assert read(("x-forwarded-for", "1.1.1.1")).host is None


def test_requests_over_a_unix_socket_get_an_address_from_their_proxy():
    told = Proxies(["unix", "10.0.0.0/8"]).read(None, [(b"x-forwarded-for", b"6.6.6.6, 203.0.113.9, 10.0.0.1")])
    assert told.client == ("203.0.113.9", 0)
    assert Proxies(["unix"]).read(None, [(b"x-forwarded-for", b"unknown")]).client is None


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["for=203.0.113.9"], Forwarded(("203.0.113.9", 0))),
        (
            ["for=6.6.6.6;proto=http, for=203.0.113.9;proto=https;host=a.example"],
            Forwarded(("203.0.113.9", 0), True, b"a.example"),
        ),
        (
            ['for="203.0.113.9:99";proto=https;host="a.example:444", for=10.2.2.2;proto=http;host=inner'],
            Forwarded(("203.0.113.9", 99), True, b"a.example:444"),
        ),
        (["for=6.6.6.6", 'for="[2001:db8::9]:80"'], Forwarded(("2001:db8::9", 80))),
        (["for=6.6.6.6, for=_hidden;proto=https"], Forwarded(PEER)),
        (["for=6.6.6.6, for=unknown, for=10.2.2.2;proto=https"], Forwarded(("10.2.2.2", 0), True)),
        (["for=10.3.3.3;proto=https, for=10.2.2.2"], Forwarded(("10.3.3.3", 0), True)),
        (['for=6.6.6.6, x="', "for=10.2.2.2"], Forwarded(("10.2.2.2", 0))),
        (['for=6.6.6.6;proto=https;x=", for=203.0.113.9'], Forwarded(PEER)),
        (["proto=https"], Forwarded(PEER)),
        ([""], Forwarded(PEER)),
    ],
)
def test_the_standard_header_is_walked_alike(lines, told):
    assert read(*[("forwarded", line) for line in lines]) == told


def test_one_family_of_headers_counts_and_never_a_mix():
    standard = ("forwarded", "for=1.1.1.1;proto=https;host=a.example")
    assert read(standard, ("x-forwarded-for", "2.2.2.2")) == Forwarded(("2.2.2.2", 0))
    assert read(standard, ("x-forwarded-proto", "http"), ("x-forwarded-host", "b")) == Forwarded(
        ("1.1.1.1", 0), True, b"a.example"
    )


def count_looks(chain, header=b"x-forwarded-for"):
    """How many addresses were looked at for this chain."""
    looks = 0

    class Counting(Proxies):
        def trusts(self, peer):
            nonlocal looks
            looks += 1
            return super().trusts(peer)

    Counting(["10.0.0.0/8"]).read(PEER, [(header, chain)])
    return looks


def test_a_chain_of_thousands_costs_as_many_looks_and_a_client_ends_it():
    assert count_looks(b"10.0.0.1," * 5000 + b"10.0.0.2") == 5002
    assert count_looks(b"for=10.0.0.1," * 5000 + b"for=10.0.0.2", b"forwarded") == 5002
    assert count_looks(b"6.6.6.6," * 5000 + b"203.0.113.9") == 2
    assert count_looks(b"," * 60_000) == 1


# --- over a real server ----------------------------------------------------------------------------------------------

quickly = pytest.mark.usefixtures("quick", "loop_factory")
HTTPS = "X-Forwarded-Proto: https"
CLIENT = "X-Forwarded-For: 6.6.6.6, 203.0.113.9"


@quickly
async def test_a_request_through_a_proxy_has_its_clients_address_and_scheme():
    lines = []
    async with serving(proxies=["127.0.0.0/8"], access_log=lines.append) as house:
        peer, work = await ask(house, request(CLIENT, HTTPS))
        assert (work.message["client"], work.message["scheme"]) == (["203.0.113.9", 0], "https")
        assert [b"x-forwarded-for", b"6.6.6.6, 203.0.113.9"] in work.message["headers"]
        assert dict(work.message["headers"])[b"host"] == b"example.com"
        work.commit({"status": 200})
        assert (await peer.response()).status == 200
    assert lines[0].client == "203.0.113.9:0"


@quickly
async def test_repeated_lines_odd_case_and_underscores():
    async with serving(proxies=["127.0.0.1"]) as house:
        peer, work = await ask(
            house,
            request(
                "x-FORWARDED-for: 6.6.6.6",
                "X_Forwarded_For: 7.7.7.7",
                "X-Forwarded-For: 203.0.113.9, 127.0.0.1",
                "X_Forwarded_Proto: https",
                "X-Forwarded-Proto: https",
                "X-FORWARDED-PROTO: http",
            ),
        )
        assert (work.message["client"], work.message["scheme"]) == (["203.0.113.9", 0], "http")
        assert not [name for name, _ in work.message["headers"] if b"_" in name]
        work.commit({"status": 200})
        await peer.response()


@quickly
async def test_two_clients_may_share_a_proxys_connection():
    async with serving(proxies=["127.0.0.1"]) as house:
        peer, work = await ask(house, request(CLIENT))
        work.commit({"status": 200})
        await peer.response()
        peer.send(request("X-Forwarded-For: 2001:db8::7"))
        work = (await house.take("http.request")).commit({"status": 200})
        assert work.message["client"] == ["2001:db8::7", 0]
        await peer.response()


@quickly
async def test_a_visitor_that_is_no_proxy_sets_nothing():
    async with serving(proxies=["10.0.0.0/8"]) as house:
        peer, work = await ask(house, request(CLIENT, HTTPS, "Forwarded: for=1.1.1.1;proto=https"))
        assert (work.message["client"][0], work.message["scheme"]) == ("127.0.0.1", "http")
        work.commit({"status": 200})
        await peer.response()


@quickly
@pytest.mark.parametrize(
    ("lines", "is_allowed"),
    [
        ([HTTPS, "Origin: https://example.com"], True),
        ([HTTPS, "Origin: http://example.com"], False),
        (["Origin: https://example.com"], False),
        ([HTTPS, "X-Forwarded-Host: a.example:8443", "Origin: https://a.example:8443"], True),
        ([HTTPS, "X-Forwarded-Host: a.example", "Origin: https://example.com"], False),
        (["Forwarded: for=203.0.113.9;proto=https", "Origin: https://example.com"], True),
    ],
)
async def test_origins_are_compared_with_what_the_proxy_tells(lines, is_allowed):
    async with serving(proxies=["127.0.0.1"]) as house:
        house.work(lambda work: work.commit({"accept": True} if work.channel == "websocket.connect" else {}))
        peer = await house.peer(upgrade(*lines))
        assert (await peer.response()).status == (101 if is_allowed else 403)


@quickly
async def test_a_websocket_through_a_proxy_is_wss():
    async with serving(proxies=["127.0.0.1"]) as house:
        _, connect = await house.open(HTTPS, CLIENT)
        assert (connect.message["scheme"], connect.message["client"]) == ("wss", ["203.0.113.9", 0])


@quickly
async def test_the_limits_of_an_address_are_those_of_the_client_behind_a_proxy():
    rule = limits(rates={"connections_per_address": 1})
    async with serving(rule, proxies=["127.0.0.1"]) as house:
        first, _ = await house.open(CLIENT)
        await house.open("X-Forwarded-For: 203.0.113.10")
        third = await house.peer(upgrade(CLIENT))
        answer = await third.response()
        assert (answer.status, answer.header("retry-after")) == (429, "5")
        assert house.server._roster.turned_away == {"connections_per_address": 1}
        first.drop()
        (await house.take("websocket.disconnect")).commit()
        await house.open(CLIENT)


@quickly
async def test_a_proxy_itself_may_have_as_many_connections_as_it_likes():
    rule = limits(rates={"connections_per_address": 1, "connects": 0.001, "connects_burst": 1})
    async with serving(rule, proxies=["127.0.0.1"]) as house:
        house.work(lambda work: work.commit({"status": 200}))
        for _ in range(3):
            assert (await (await house.peer(request(CLIENT))).response()).status == 200


@quickly
async def test_a_proxy_on_a_unix_socket(tmp_path):
    path = str(tmp_path / "f.sock")
    async with serving(binds=[f"unix:{path}"], proxies=["unix"]) as house:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(request(CLIENT, HTTPS))
        work = (await house.take("http.request")).commit({"status": 200})
        assert (work.message["client"], work.message["scheme"]) == (["203.0.113.9", 0], "https")
        assert b" 200 " in await reader.readline()
        writer.close()
