"""Addresses of hubs on other hosts: what is read, what is written, and what is refused with its remedy."""

from pathlib import Path

import pytest

from fairway.errors import InvalidLayerSetting
from fairway.layers.hub.secret import SecretSource
from fairway.layers.hub.tcp_address import Access, check_list, is_loopback, join, make_tcp_address, parse_tcp_url, split


def test_a_url_with_several_hubs() -> None:
    options = parse_tcp_url("tcp+tls://a.internal:7400,[2001:db8::1]:7401?ca=/etc/ca.pem&secret_file=/etc/secret")
    assert options == {
        "hubs": ["tcp+tls://a.internal:7400", "tcp+tls://[2001:db8::1]:7401"],
        "ca": "/etc/ca.pem",
        "secret_file": "/etc/secret",
    }
    access = Access(options["ca"], SecretSource(options["secret_file"]))
    first, second = (make_tcp_address(url, access) for url in options["hubs"])
    assert (first.host, first.port, first.is_tls) == ("a.internal", 7400, True)
    assert (second.host, second.port, second.name) == ("2001:db8::1", 7401, "tcp+tls://[2001:db8::1]:7401")
    assert first.url == "tcp+tls://a.internal:7400?ca=/etc/ca.pem&secret_file=/etc/secret"
    assert parse_tcp_url(first.url)["hubs"] == ["tcp+tls://a.internal:7400"]


def test_without_tls_on_this_host() -> None:
    for host in ("127.0.0.1", "localhost", "[::1]", "127.8.0.1"):
        assert make_tcp_address(f"tcp://{host}:7400", Access()).url == f"tcp://{host}:7400"


@pytest.mark.parametrize("host", ["hub.internal", "10.0.0.5", "[2001:db8::1]", "localhost.example"])
def test_without_tls_to_another_host(host: str) -> None:
    message = "is another host, and without TLS .* write tcp.tls://, and give the hub a certificate"
    with pytest.raises(InvalidLayerSetting, match=message):
        make_tcp_address(f"tcp://{host}:7400", Access())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("tcp+tls://hub", "write HOST:PORT or .IPV6.:PORT, not 'hub'"),
        ("tcp+tls://hub:http", "write HOST:PORT"),
        ("tcp+tls://hub:70000", "write HOST:PORT"),
        ("tcp+tls://:7400", "must name host and port"),
        ("tcp+tls://hub:0", "must name host and port"),
        ("tcp+tls://", "write HOST:PORT"),
        ("tcp+tls://2001:db8::1:7400", "an IPv6 address stands in brackets"),
        ("tcp+tls://[hub]:7400", "an IPv6 address stands in brackets"),
        ("tcp+tls://user@hub:7400", "'user@hub' is none"),
        ("http://hub:7400", "is no URL of a hub; write tcp.tls://host:7400"),
        ("hub:7400", "is no URL of a hub; write tcp.tls://host:7400"),
    ],
)
def test_what_is_no_address(url: str, message: str) -> None:
    with pytest.raises(InvalidLayerSetting, match=message):
        make_tcp_address(url, Access())


def test_other_options_and_lists() -> None:
    with pytest.raises(InvalidLayerSetting, match=r"'mode' in .* is no option of a hub over TCP; there are ca"):
        parse_tcp_url("tcp+tls://hub:7400?mode=0660")
    check_list(["tcp://a:1", "tcp://b:1"])
    for hubs in ([], ["tcp://a:1"] * 2, [f"tcp://a:{port}" for port in range(17)]):
        with pytest.raises(InvalidLayerSetting, match="must name 1 to 16 different hubs"):
            check_list(hubs)


def test_files_are_checked(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("correct horse battery staple")
    address = make_tcp_address("tcp+tls://hub:7400", Access(str(tmp_path / "ca.pem"), SecretSource(str(secret))))
    with pytest.raises(InvalidLayerSetting, match=r"ca = '.*ca.pem' cannot be read: No such file"):
        address.check()
    make_tcp_address("tcp://127.0.0.1:7400", Access("", SecretSource(str(secret)))).check()
    make_tcp_address("tcp+tls://hub:7400", Access("", SecretSource(str(secret)))).check()


def test_places() -> None:
    assert [split(join(host, 1)) for host in ("a", "::1", "")] == [("a", 1), ("::1", 1), ("", 1)]
    assert [is_loopback(host) for host in ("", "0.0.0.0", "::", "::1")] == [False, False, False, True]
