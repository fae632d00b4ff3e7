"""Where hubs of other hosts are found, and how one gets in.

The URL is `tcp+tls://host:7400,host2:7400?ca=/path&secret_file=/path`, and `tcp://127.0.0.1:7400` without TLS.
"""

import ipaddress
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote

from fairway.errors import InvalidLayerSetting
from fairway.layers.hub.secret import SecretSource
from fairway.layers.hub.tls import client_context

PLAIN, TLS = "tcp", "tcp+tls"
SCHEMES = (PLAIN, TLS)
MOST_HUBS = 16
OPTIONS = ("ca", "secret_file")


@dataclass(frozen=True, slots=True)
class Access:
    """How a client gets into the hubs of one list.

    Parameters:
        ca: the file with the authorities that may vouch for a hub; the system's when empty.
        secret: where the secret is.
    """

    ca: str = ""
    secret: SecretSource = field(default_factory=SecretSource)

    def trust(self) -> ssl.SSLContext:
        """Return what is trusted, as the file says now.

        Raises:
            InvalidLayerSetting: it cannot be used.
        """
        return client_context(self.ca)

    @property
    def query(self) -> str:
        """The part of a URL that says this."""
        pairs = {"ca": self.ca, "secret_file": self.secret.file}
        text = "&".join(f"{key}={quote(value)}" for key, value in pairs.items() if value)
        return f"?{text}" if text else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpAddress:
    """A hub at a TCP address.

    Raises:
        InvalidLayerSetting: it is on another host, and there is no TLS.
    """

    host: str
    port: int
    is_tls: bool
    access: Access

    def __post_init__(self) -> None:
        if not self.is_tls and not is_loopback(self.host):
            msg = (
                f"{self.name} is another host, and without TLS whoever is in between could read and change everything; "
                f"write {TLS}://, and give the hub a certificate (fairway serve --hub-certificate)"
            )
            raise InvalidLayerSetting(msg)

    @property
    def scheme(self) -> str:
        """The scheme of its URL."""
        return TLS if self.is_tls else PLAIN

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.scheme}://{join(self.host, self.port)}"

    @property
    def url(self) -> str:
        """The URL of this address."""
        return self.name + self.access.query

    def check(self) -> None:
        """See that the files that are named can be used.

        Raises:
            InvalidLayerSetting: one cannot.
        """
        self.access.secret.read()
        if self.is_tls:
            self.access.trust()


def parse_tcp_url(url: str) -> Mapping[str, Any]:
    """Return `hubs` (a URL each, without options), `ca` and `secret_file` as far as a URL gives them.

    Raises:
        InvalidLayerSetting: it has other parts.
    """
    scheme, _, rest = url.partition("://")
    hosts, _, query = rest.partition("?")
    options: dict[str, Any] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in OPTIONS:
            msg = f"{key!r} in {url!r} is no option of a hub over TCP; there are {' and '.join(OPTIONS)}"
            raise InvalidLayerSetting(msg)
        options[key] = value
    hubs = [f"{scheme}://{host}" for host in hosts.split(",")]
    for hub in hubs:
        make_tcp_address(hub, Access())
    return {"hubs": hubs, **options}


def make_tcp_address(url: str, access: Access) -> TcpAddress:
    """Return the address that one URL without options names.

    Raises:
        InvalidLayerSetting: it names none.
    """
    scheme, found, place = url.partition("://")
    if not found or scheme not in SCHEMES:
        msg = f"{url!r} is no URL of a hub; write {TLS}://host:7400"
        raise InvalidLayerSetting(msg)
    try:
        host, port = split(place)
    except ValueError as error:
        msg = f"{url!r} is no URL of a hub: {error}"
        raise InvalidLayerSetting(msg) from None
    if not host or not port:
        msg = f"{url!r} must name host and port, such as {TLS}://hub.internal:7400"
        raise InvalidLayerSetting(msg)
    return TcpAddress(host=host, port=port, is_tls=scheme == TLS, access=access)


def check_list(hubs: Sequence[str]) -> None:
    """See that a list of hubs names some, each once, and not too many.

    Raises:
        InvalidLayerSetting: it does not.
    """
    if not 0 < len(hubs) <= MOST_HUBS or len(set(hubs)) != len(hubs):
        msg = f"hubs = {list(hubs)!r:.200} must name 1 to {MOST_HUBS} different hubs"
        raise InvalidLayerSetting(msg)


def split(place: str) -> tuple[str, int]:
    """Return host and port of `host:port` or `[IPv6]:port`.

    Raises:
        ValueError: it is neither.
    """
    host, colon, number = place.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if is_bracketed else host
    if not colon or not (number.isascii() and number.isdigit()) or int(number) > 65535:
        msg = f"write HOST:PORT or [IPV6]:PORT, not {place!r}"
        raise ValueError(msg)
    if is_bracketed != (":" in host) or set(host) & set("/@#[] "):
        msg = f"write a host's name or address; {host!r} is none, and an IPv6 address stands in brackets"
        raise ValueError(msg)
    return host, int(number)


def join(host: str, port: int) -> str:
    """Return host and port as they are written."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Say whether a host is this one, whatever the network does."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
