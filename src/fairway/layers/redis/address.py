"""Where Redis is found: URLs of one server, of a Sentinel's service, and of a Cluster.

=============================================================  =====================================================
`redis://[user:password@]host:port/db`                         one server
`redis+unix:///path.sock?db=0`                                 one server by its Unix socket
`redis+sentinel://[user:password@]h1:26379,h2:26379/service`   the master that the Sentinels name
`redis+cluster://[user:password@]h1:7000,h2:7000`              a Cluster, found through any of its nodes
=============================================================  =====================================================

`rediss`, `rediss+sentinel` and `rediss+cluster` speak TLS. Options follow after `?`: `OPTIONS` has them all. Special
characters of a user, a password or an option are percent-encoded. A password is in no text that this module makes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from fairway.errors import InvalidLayerSetting

DEFAULT_PORT: Final = 6379
DEFAULT_SENTINEL_PORT: Final = 26379
DEFAULT_PREFIX: Final = "fairway"
MOST_SHARDS: Final = 256
MOST_DATABASES: Final = 16384

SCHEMES: Final = (
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)

OPTIONS: Final[Mapping[str, str]] = {
    "prefix": "what the keys begin with, such as mysite",
    "shards": "the number of parts that work is dealt out to, such as 4",
    "db": "the number of the database, such as 0",
    "sentinel_user": "the user of the Sentinels",
    "sentinel_password": "the password of the Sentinels",
    "ca": "the file of the authority that has signed the server's certificate",
    "certificate": "the file of our own certificate",
    "key": "the file of its key",
    "verify": "full, ca (the server's name is not compared) or none",
}

_SENTINEL_OPTIONS: Final = ("sentinel_user", "sentinel_password")
_TLS_OPTIONS: Final = ("ca", "certificate", "key", "verify")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}\Z")
_HOST: Final = re.compile(r"[^\s\[\]/?#@,:]+\Z")
_HIDDEN: Final = "***"


class Kind(StrEnum):
    """How the server for a key is found."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Verify(StrEnum):
    """How much of a server's certificate is looked at."""

    FULL = "full"
    CA = "ca"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Node:
    """One Redis server, or one Sentinel: `host` and `port`, or the `path` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user and a password; both may be empty. No text shows the password."""

    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How TLS is spoken. Without `ca` the authorities of the system are believed."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    verify: Verify = Verify.FULL


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """Where Redis is, and what the project's keys look like there.

    `nodes` are the server itself, the Sentinels, or the nodes through which a Cluster is found. `str()` gives the URL,
    with its passwords hidden.
    """

    kind: Kind
    nodes: tuple[Node, ...]
    service: str = ""
    db: int = 0
    login: Login = Login()
    sentinel_login: Login = Login()
    tls: Tls | None = None
    prefix: str = DEFAULT_PREFIX
    shards: int = 1
    url: str = field(default="", repr=False, compare=False)
    """As it was written, with its passwords: for programs that are started by this one."""

    def __str__(self) -> str:
        scheme = "redis+unix" if self.nodes[0].path else "rediss" if self.tls else "redis"
        if self.kind is not Kind.SINGLE:
            scheme = f"{scheme}+{self.kind}"
        places = "" if self.nodes[0].path else ",".join(map(str, self.nodes))
        path = quote(self.nodes[0].path) or (f"/{quote(self.service, safe='')}" if self.service else "")
        options = "&".join(f"{key}={quote(str(value), safe='*/')}" for key, value in self._options() if value)
        return f"{scheme}://{_shown(self.login)}{places}{path}" + (f"?{options}" if options else "")

    def _options(self) -> list[tuple[str, object]]:
        tls = self.tls or Tls()
        return [
            ("db", self.db),
            ("prefix", self.prefix if self.prefix != DEFAULT_PREFIX else ""),
            ("shards", self.shards if self.shards != 1 else ""),
            ("sentinel_user", self.sentinel_login.user),
            ("sentinel_password", _HIDDEN if self.sentinel_login.password else ""),
            ("ca", tls.ca),
            ("certificate", tls.certificate),
            ("key", tls.key),
            ("verify", tls.verify if tls.verify is not Verify.FULL else ""),
        ]


def parse_redis_url(url: str) -> RedisAddress:
    """Return the address that a URL names.

    Raises:
        InvalidLayerSetting: names what is wrong, its value unless it may be part of a password, and the remedy.
    """
    parts = _split(url)
    options = _options_of(parts)
    base, _, form = parts.scheme.partition("+")
    kind = Kind(form) if form in {Kind.SENTINEL, Kind.CLUSTER} else Kind.SINGLE
    authority, _, places = parts.netloc.rpartition("@")
    is_unix = form == "unix"
    return RedisAddress(
        kind=kind,
        nodes=(_unix_node(places, parts.path),) if is_unix else _nodes(kind, places),
        service=_service(parts.path) if kind is Kind.SENTINEL else "",
        db=_database(kind, "" if is_unix or kind is Kind.SENTINEL else parts.path, options.get("db", "")),
        login=_login(authority),
        sentinel_login=Login(user=options.get("sentinel_user", ""), password=options.get("sentinel_password", "")),
        tls=_tls(options) if base == "rediss" else None,
        prefix=_prefix(options.get("prefix", DEFAULT_PREFIX)),
        shards=_whole("shards", options.get("shards", "1"), 1, MOST_SHARDS),
        url=url,
    )


def hide_passwords(text: str) -> str:
    """Return a text, such as a URL that cannot be parsed, with whatever in it may be a password replaced by `***`."""
    text = re.sub(r"(//)[^\s'\"]*@", rf"\1{_HIDDEN}@", text)
    # The host after it may have been forgotten.
    text = re.sub(r"(//[^\s'\"@/?#:\[]*:)(?!\d{1,5}(?:[,/?#'\"\s]|$))[^\s'\"]*", rf"\1{_HIDDEN}", text)
    return re.sub(r"(password=)[^&\s'\"]*", rf"\1{_HIDDEN}", text, flags=re.IGNORECASE)


def _split(url: str) -> SplitResult:
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme not in SCHEMES:
        known = ", ".join(f"{known}://" for known in SCHEMES)
        raise InvalidLayerSetting(f"{hide_passwords(url)!r} is no URL of Redis; those begin with {known}")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidLayerSetting(f"{hide_passwords(url)!r} is no URL: {hide_passwords(str(error))}") from None
    # Then a part of the password may stand wherever something else is expected, so no more of it is shown.
    if "@" in parts.path + parts.query or parts.fragment or "#" in url:
        msg = (
            f"{_scheme_only(url)} has a special character in its user, password, path or options; "
            "write @ / ? # : as %40 %2F %3F %23 %3A there"
        )
        raise InvalidLayerSetting(msg)
    return parts


def _scheme_only(url: str) -> str:
    return f"the URL {url.partition('://')[0]}://…"


def _options_of(parts: SplitResult) -> dict[str, str]:
    options: dict[str, str] = {}
    # "+" is itself, as in the rest of a URL: a password may hold one.
    for key, value in parse_qsl(parts.query.replace("+", "%2B"), keep_blank_values=True):
        if key not in OPTIONS:
            known = "; ".join(f"{name}: {meaning}" for name, meaning in OPTIONS.items())
            raise InvalidLayerSetting(f"{key!r} is no option of a Redis URL; there are {known}")
        if key in _TLS_OPTIONS and not parts.scheme.startswith("rediss"):
            remedy = "rediss://, rediss+sentinel:// or rediss+cluster://"
            raise InvalidLayerSetting(f"the option {key!r} needs TLS: {remedy} in place of {parts.scheme}://")
        if key in _SENTINEL_OPTIONS and not parts.scheme.endswith("+sentinel"):
            raise InvalidLayerSetting(f"the option {key!r} is for redis+sentinel://, not for {parts.scheme}://")
        options[key] = value
    return options


def _nodes(kind: Kind, places: str) -> tuple[Node, ...]:
    default = DEFAULT_SENTINEL_PORT if kind is Kind.SENTINEL else DEFAULT_PORT
    nodes = tuple(_node(place, default) for place in places.split(","))
    if kind is Kind.SINGLE and len(nodes) > 1:
        remedy = "redis+cluster:// or redis+sentinel:// takes several"
        raise InvalidLayerSetting(f"{places!r} are several hosts, and redis:// takes one; {remedy}")
    return nodes


def _node(place: str, default: int) -> Node:
    if place.startswith("["):
        host, closing, rest = place[1:].partition("]")
        is_host = bool(closing) and ":" in host and rest[:1] in {"", ":"}
        port = rest[1:]
    else:
        host, _, port = place.partition(":")
        is_host = bool(_HOST.match(host))
    if not is_host:
        raise InvalidLayerSetting(f"{place!r} names no host of Redis; write host:port, such as 127.0.0.1:{default}")
    if port and not port.isdigit():
        # Somebody may have forgotten what follows a password, so it is not shown.
        raise InvalidLayerSetting(f"what follows {host}: is no port; it is a whole number from 1 to 65535")
    return Node(host, _whole("the port", port, 1, 65535) if port else default)


def _unix_node(places: str, path: str) -> Node:
    path = unquote(path)
    if places or len(path) < 2 or "\0" in path:
        found = "a host" if places else repr(path)
        raise InvalidLayerSetting(f"{found} is no path of a socket; write redis+unix:///run/redis/redis.sock")
    return Node(path=path)


def _service(path: str) -> str:
    service = unquote(path.removeprefix("/"))
    if not service or any(char.isspace() or char == "/" for char in service):
        remedy = "redis+sentinel://host:26379/mymaster"
        raise InvalidLayerSetting(f"{service!r} is no service of a Sentinel; it follows the hosts, as in {remedy}")
    return service


def _database(kind: Kind, path: str, option: str) -> int:
    places = {place for place in (unquote(path.strip("/")), option) if place}
    if len(places) > 1:
        raise InvalidLayerSetting(f"the database is given twice, as {path!r} and as db={option!r}; keep one of them")
    db = _whole("the database", places.pop() if places else "0", 0, MOST_DATABASES - 1)
    if db and kind is Kind.CLUSTER:
        raise InvalidLayerSetting(f"the database {db} cannot be had: a Redis Cluster has only 0; leave it out")
    return db


def _login(authority: str) -> Login:
    user, _, password = authority.partition(":")
    return Login(user=unquote(user), password=unquote(password))


def _tls(options: Mapping[str, str]) -> Tls:
    verify = options.get("verify", Verify.FULL)
    if verify not in set(Verify):
        raise InvalidLayerSetting(f"verify={verify!r} cannot be used; it is full, ca or none")
    certificate, key = options.get("certificate", ""), options.get("key", "")
    if key and not certificate:
        raise InvalidLayerSetting(f"key={key!r} needs its certificate: add certificate=/path/to/certificate.pem")
    return Tls(ca=options.get("ca", ""), certificate=certificate, key=key, verify=Verify(verify))


def _prefix(prefix: str) -> str:
    if not _PREFIX.match(prefix):
        msg = f"prefix={prefix!r} cannot be used; 1 to 40 of A-Z, a-z, 0-9, '_', '.' and '-', such as mysite"
        raise InvalidLayerSetting(msg)
    return prefix


def _whole(what: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise InvalidLayerSetting(f"{what} {text!r} cannot be used; a whole number from {least} to {most}")
    return int(text)


def _shown(login: Login) -> str:
    if not login.password:
        return f"{quote(login.user, safe='')}@" if login.user else ""
    return f"{quote(login.user, safe='')}:{_HIDDEN}@"
