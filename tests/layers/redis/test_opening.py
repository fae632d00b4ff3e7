"""Connections to one server: how it is greeted, and what is said when it does not let us in."""

import gc
from pathlib import Path

import pytest

from fairway.errors import InvalidLayerSetting, LayerUnavailable
from fairway.layers.redis.address import Login, Node, Tls, Verify, parse_redis_url
from fairway.layers.redis.nodes import Nodes
from fairway.layers.redis.opening import Opener, make_context
from fairway.layers.redis.wire import pack
from tests.support.redis import HOST, Certificates, RedisServer, redis_server

SECRET = "s3cret"
BIG = b"x" * 3_000_000


def failure(opener: Opener, node: Node, timeout: float = 10) -> str:
    """The error of an opening."""
    with pytest.raises(LayerUnavailable) as caught:
        opener.open(node, timeout)
    return str(caught.value)


@pytest.fixture(params=["tcp", "unix", "tls", "user"])
def url(request: pytest.FixtureRequest) -> str:
    """The same by all ways into database 3."""
    if request.param == "tls":
        return str(request.getfixturevalue("tls_redis").url).replace("/0?", "/3?")
    server: RedisServer = request.getfixturevalue("shared_redis")
    if request.param == "unix":
        return server.unix_url.replace("db=0", "db=3")
    if request.param == "user":
        server.add_user("me", SECRET, "mysite")
        return f"redis://me:{SECRET}@{HOST}:{server.port}/3"
    return server.url.replace("/0", "/3")


def test_a_wire_is_in_its_database(url: str) -> None:
    address = parse_redis_url(url)
    wire = Nodes(address).connect(address.nodes[0])
    found = wire.ask(pack("CLIENT", "INFO"), pack("SET", "{mysite:x}", BIG), pack("GET", "{mysite:x}"), timeout=10)
    gc.collect()  # redis-py no longer holds what could close the socket
    assert wire.ask(pack("PING"), timeout=10) == [b"PONG"]
    wire.close()
    assert b" db=3 " in found[0]
    assert found[1:] == [b"OK", BIG]


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    opener = Opener(Login(), 0, None)
    for node in (Node(HOST, 9), Node(path=str(tmp_path / "no.sock"))):
        reason = "No such file or directory" if node.path else "Connection refused"
        assert failure(opener, node) == f"Redis at {node} cannot be reached: {reason}"


def test_a_host_that_nobody_knows_is_named() -> None:
    error = failure(Opener(Login(), 0, None), Node("no-such-host.invalid", 9))
    assert error.startswith("Redis at no-such-host.invalid:9 cannot be reached: ")
    assert "known" in error or "resol" in error


def test_a_host_that_cannot_be_one_is_named() -> None:
    error = failure(Opener(Login(), 0, None), Node("a" * 64, 9))
    assert error.startswith(f"Redis at {'a' * 64}:9 cannot be reached: ")


def test_a_server_that_is_silent_is_waited_for_so_long(own_redis: RedisServer) -> None:
    with own_redis.paused():
        for url in (own_redis.url.replace("/0", "/1"), own_redis.unix_url.replace("db=0", "db=1")):
            address = parse_redis_url(url)
            error = failure(Opener(Login(), 1, None), address.nodes[0], 0.05)
            assert error == f"Redis at {address.nodes[0]} gave no answer in time"


def test_a_wrong_password_is_told_and_not_shown(own_redis: RedisServer) -> None:
    node = Node(HOST, own_redis.port)
    own_redis.add_user("me", SECRET + "!", "mysite")
    error = failure(Opener(Login(user="me", password=SECRET), 0, None), node)
    assert error.startswith(f"Redis at {node} does not let us in: ")
    assert error.endswith("see the user and the password of its URL")
    assert SECRET not in error


def test_a_database_that_is_not_there_is_told(own_redis: RedisServer) -> None:
    node = Node(HOST, own_redis.port)
    assert failure(Opener(Login(), 77, None), node) == f"Redis at {node} does not serve us: DB index is out of range"


def test_a_server_that_demands_a_password_is_told(own_redis: RedisServer) -> None:
    own_redis.call("CONFIG", "SET", "requirepass", SECRET)
    node = Node(HOST, own_redis.port)
    error = failure(Opener(Login(), 1, None), node)
    assert error.startswith(f"Redis at {node} does not let us in: Authentication required.")
    Opener(Login(password=SECRET), 1, None).open(node).close()


def test_a_role_is_looked_at(own_redis: RedisServer) -> None:
    node = Node(HOST, own_redis.port)
    opener = Opener(Login(), 0, None, role="master")
    opener.open(node).close()
    own_redis.call("REPLICAOF", HOST, "9")
    wanted = f"Redis at {node} is no master but a slave; Sentinel may be failing over"
    assert failure(opener, node) == wanted


def test_a_user_that_may_not_ask_for_the_role_is_told(own_redis: RedisServer) -> None:
    own_redis.add_user("me", SECRET, "mysite", "+@all -role")
    opener = Opener(Login(user="me", password=SECRET), 0, None, role="master")
    error = failure(opener, Node(HOST, own_redis.port))
    assert "role" in error
    assert SECRET not in error


def test_a_certificate_is_looked_at(tls_redis: RedisServer, redis_certificates: Certificates) -> None:
    ca = str(redis_certificates.ca)
    address, name = Node(HOST, tls_redis.port), Node("localhost", tls_redis.port)
    for node, tls in [
        (name, Tls(ca=ca)),
        (address, Tls(ca=ca, verify=Verify.CA)),
        (address, Tls(verify=Verify.NONE)),
    ]:
        opener = Opener(Login(), 0, tls)
        opener.open(node).close()
    error = failure(Opener(Login(), 0, Tls()), address)
    assert "certificate verify failed" in error
    error = failure(Opener(Login(), 0, None), address)
    assert error.startswith(f"Redis at {address} ")


def test_the_name_of_a_server_is_compared(redis_certificates: Certificates) -> None:
    """::1 leads to the same server, and stands in no certificate."""
    ca = str(redis_certificates.ca)
    with redis_server("--bind", "127.0.0.1", "::1", certificates=redis_certificates) as server:
        node = Node("::1", server.port)
        error = failure(Opener(Login(), 0, Tls(ca=ca)), node)
        assert "not valid for '::1'" in error
        Opener(Login(), 0, Tls(ca=ca, verify=Verify.CA)).open(node).close()


def test_a_server_may_want_our_certificate(redis_certificates: Certificates) -> None:
    certificates = redis_certificates
    ours = Tls(ca=str(certificates.ca), certificate=str(certificates.certificate), key=str(certificates.key))
    with redis_server("--tls-auth-clients", "yes", certificates=certificates) as server:
        node = Node(HOST, server.port)
        Opener(Login(), 1, ours).open(node).close()
        error = failure(Opener(Login(), 1, Tls(ca=ours.ca)), node)
        assert error.startswith(f"Redis at {node} ")


def test_files_that_cannot_be_used_are_named(tmp_path: Path, redis_certificates: Certificates) -> None:
    missing, nonsense = str(tmp_path / "missing"), tmp_path / "nonsense"
    nonsense.write_text("no PEM")
    for path in (missing, str(nonsense)):
        with pytest.raises(InvalidLayerSetting, match=f"ca='{path}' of the Redis URL cannot be used: .*; a file"):
            make_context(Tls(ca=path))
        with pytest.raises(InvalidLayerSetting, match=f"certificate='{path}' with key='' of the Redis URL cannot"):
            make_context(Tls(certificate=path))
    with pytest.raises(InvalidLayerSetting, match="the key without a password"):
        make_context(Tls(certificate=str(redis_certificates.certificate), key=missing))
