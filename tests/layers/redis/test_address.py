"""Where Redis is found: URLs, what is no URL, and that no text shows a password."""

import pytest

from fairway.errors import InvalidLayerSetting
from fairway.layers.redis.address import (
    Kind,
    Login,
    Node,
    RedisAddress,
    Tls,
    Verify,
    hide_passwords,
    parse_redis_url,
)

HOST = (Node("host", 6379),)
SECRET = "s3cret"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://host", RedisAddress(kind=Kind.SINGLE, nodes=HOST)),
        ("redis://host:6379/", RedisAddress(kind=Kind.SINGLE, nodes=HOST)),
        ("redis://host/3", RedisAddress(kind=Kind.SINGLE, nodes=HOST, db=3)),
        ("redis://host?db=3", RedisAddress(kind=Kind.SINGLE, nodes=HOST, db=3)),
        ("redis://host/3?db=3", RedisAddress(kind=Kind.SINGLE, nodes=HOST, db=3)),
        ("redis://[::1]:7000", RedisAddress(kind=Kind.SINGLE, nodes=(Node("::1", 7000),))),
        ("redis://[::1]", RedisAddress(kind=Kind.SINGLE, nodes=(Node("::1", 6379),))),
        (
            "redis://host/0?prefix=my.site-1_X&shards=4",
            RedisAddress(kind=Kind.SINGLE, nodes=HOST, prefix="my.site-1_X", shards=4),
        ),
        ("redis://me@host", RedisAddress(kind=Kind.SINGLE, nodes=HOST, login=Login(user="me"))),
        ("redis://:pw@host", RedisAddress(kind=Kind.SINGLE, nodes=HOST, login=Login(password="pw"))),
        (
            "redis://m%40e:p%3A%2F%23%40+:w@host",
            RedisAddress(kind=Kind.SINGLE, nodes=HOST, login=Login(user="m@e", password="p:/#@+:w")),
        ),
        (
            "redis+unix:///run/re%20dis.sock?db=2",
            RedisAddress(kind=Kind.SINGLE, nodes=(Node(path="/run/re dis.sock"),), db=2),
        ),
        (
            "redis+unix://me:pw@/run/r.sock",
            RedisAddress(kind=Kind.SINGLE, nodes=(Node(path="/run/r.sock"),), login=Login(user="me", password="pw")),
        ),
        ("rediss://host", RedisAddress(kind=Kind.SINGLE, nodes=HOST, tls=Tls())),
        (
            "rediss://host?ca=/etc/ca.pem&certificate=/c.pem&key=/k.pem&verify=ca",
            RedisAddress(
                kind=Kind.SINGLE,
                nodes=HOST,
                tls=Tls(ca="/etc/ca.pem", certificate="/c.pem", key="/k.pem", verify=Verify.CA),
            ),
        ),
        (
            "redis+sentinel://me:pw@h1,h2:26380/my-master?db=1&sentinel_user=s&sentinel_password=p+%40",
            RedisAddress(
                kind=Kind.SENTINEL,
                nodes=(Node("h1", 26379), Node("h2", 26380)),
                service="my-master",
                db=1,
                login=Login(user="me", password="pw"),
                sentinel_login=Login(user="s", password="p+@"),
            ),
        ),
        (
            "rediss+sentinel://h1/m?verify=none",
            RedisAddress(kind=Kind.SENTINEL, nodes=(Node("h1", 26379),), service="m", tls=Tls(verify=Verify.NONE)),
        ),
        (
            "redis+cluster://h1:7000,[::2]:7001/0",
            RedisAddress(kind=Kind.CLUSTER, nodes=(Node("h1", 7000), Node("::2", 7001))),
        ),
        ("rediss+cluster://h1", RedisAddress(kind=Kind.CLUSTER, nodes=(Node("h1", 6379),), tls=Tls())),
    ],
)
def test_urls(url: str, address: RedisAddress) -> None:
    assert parse_redis_url(url) == address
    if not address.login.password:
        assert parse_redis_url(str(address)) == address


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("local:///x", r"'local:///x' is no URL of Redis; those begin with redis://, rediss://"),
        ("redis:host", r"'redis:host' is no URL of Redis"),
        ("redis+tcp://host", r"'redis\+tcp://host' is no URL of Redis"),
        ("redis://[::1", "is no URL: "),
        ("redis://", r"'' names no host of Redis; write host:port, such as 127.0.0.1:6379"),
        ("redis+sentinel:///m", r"such as 127.0.0.1:26379"),
        ("redis://::1", "'::1' names no host|the port ':1'"),
        ("redis://[host]", r"is no URL|names no host"),
        ("redis://host:0", "the port '0' cannot be used; a whole number from 1 to 65535"),
        ("redis://host:65536", "the port '65536'"),
        ("redis://host:6379x", "what follows host: is no port; it is a whole number from 1 to 65535"),
        ("redis://host:٣", "the port '٣'"),
        ("redis://a,b", "'a,b' are several hosts, and redis:// takes one; redis\\+cluster:// or"),
        ("redis+cluster://a,,b", "'' names no host"),
        ("redis://host/x", "the database 'x' cannot be used; a whole number from 0 to 16383"),
        ("redis://host/-1", "the database '-1'"),
        ("redis://host/1?db=2", "the database is given twice, as '/1' and as db='2'"),
        ("redis+cluster://host/1", "the database 1 cannot be had: a Redis Cluster has only 0"),
        ("redis+sentinel://host", "'' is no service of a Sentinel; it follows the hosts"),
        ("redis+sentinel://host/a/b", "'a/b' is no service"),
        ("redis+sentinel://host/a%20b", "'a b' is no service"),
        ("redis+unix://host/a.sock", "a host is no path of a socket; write redis\\+unix:///run"),
        ("redis+unix://", "'' is no path"),
        ("redis+unix:///a%00b", "is no path"),
        ("redis://host?prefix=", "prefix='' cannot be used; 1 to 40 of A-Z"),
        ("redis://host?prefix=a%7Bb", "prefix='a{b' cannot be used"),
        ("redis://host?prefix=a%0A", "cannot be used"),
        ("redis://host?prefix=" + "a" * 41, "cannot be used"),
        ("redis://host?shards=0", "shards '0' cannot be used; a whole number from 1 to 256"),
        ("redis://host?shards=many", "shards 'many'"),
        ("redis://host?prefx=a", "'prefx' is no option of a Redis URL; there are prefix: what the keys begin with"),
        ("redis://host?ca=/x", "the option 'ca' needs TLS: rediss://"),
        ("redis://host?verify=none", "the option 'verify' needs TLS"),
        ("rediss+cluster://host?sentinel_user=x", "the option 'sentinel_user' is for redis\\+sentinel://"),
        ("rediss://host?verify=maybe", "verify='maybe' cannot be used; it is full, ca or none"),
        ("rediss://host?key=/k", "key='/k' needs its certificate: add certificate="),
        ("redis://host#x", "a special character in its user, password, path or options; write @ / "),
    ],
)
def test_urls_that_say_why_not(url: str, reason: str) -> None:
    with pytest.raises(InvalidLayerSetting, match=reason):
        parse_redis_url(url)


def test_an_address_shows_no_password() -> None:
    url = f"redis+sentinel://me:{SECRET}@h1,h2/m?sentinel_password={SECRET}&sentinel_user=s&prefix=p&shards=2&db=1"
    address = parse_redis_url(url)
    assert address.login.password == address.sentinel_login.password == SECRET
    assert SECRET not in repr(address)
    expected = (
        "redis+sentinel://me:***@h1:26379,h2:26379/m?db=1&prefix=p&shards=2&sentinel_user=s&sentinel_password=***"
    )
    assert str(address) == expected
    assert str(parse_redis_url(f"redis://:{SECRET}@h")) == "redis://:***@h:6379"


@pytest.mark.parametrize("mark", ["/", "?", "#", "@", ":", "", "[", "//", "/@"])
@pytest.mark.parametrize("rest", ["", "?x=1", "/9x", ":port", "?sentinel_password=" + SECRET])
def test_a_wrong_url_shows_no_password(mark: str, rest: str) -> None:
    """Not even where a special character in it makes something else of it: a port, an option, a path."""
    for scheme in ("redis", "rediss+sentinel", "redis+unix", "redys"):
        assert SECRET not in shown(f"{scheme}://me:{SECRET}{mark}{SECRET}@host{rest}")


@pytest.mark.parametrize("scheme", ["redis", "rediss+sentinel", "redis+unix", "redis+cluster", "redys"])
def test_a_url_without_its_host_shows_no_password(scheme: str) -> None:
    assert SECRET not in shown(f"{scheme}://me:{SECRET}")
    assert SECRET not in shown(f"{scheme}://me:{SECRET}[")


def shown(url: str) -> str:
    """All texts that come of a URL, be it right or wrong."""
    try:
        address = parse_redis_url(url)
    except InvalidLayerSetting as error:
        return str(error)
    return str(address) + repr(address)


def test_passwords_are_hidden_in_any_text() -> None:
    text = hide_passwords(f"'redis://me:{SECRET}/@x@host/0?sentinel_password={SECRET}&db=1' and 'redis://host'")
    assert text == "'redis://***@host/0?sentinel_password=***&db=1' and 'redis://host'"
    assert hide_passwords(f"redis://me:{SECRET}") == "redis://me:***"
    for text in ("local:///run/a.sock", "redis://a:6379,[::1]:6379/0?db=1", "redis://a:6379"):
        assert hide_passwords(text) == text


def test_nodes_are_named_as_in_a_url() -> None:
    names = [str(node) for node in (Node("host", 1), Node("::1", 2), Node(path="/run/a"))]
    assert names == ["host:1", "[::1]:2", "/run/a"]
