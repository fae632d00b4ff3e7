"""The layer of a process on another host than its hubs': one of them, or several at once."""

from collections.abc import Sequence

from fairway.layers.base import Layer
from fairway.layers.codec import DEFAULT_LIMITS
from fairway.layers.hub.address import parse_url
from fairway.layers.hub.client import WAIT, HubLayer
from fairway.layers.hub.meeting import Address
from fairway.layers.hub.secret import SecretSource
from fairway.layers.hub.several import SeveralLayer
from fairway.layers.hub.tcp_address import Access, TcpAddress, check_list, make_tcp_address
from fairway.limits import MessageLimits

LOCAL = "local://"


def remote_layer(
    hubs: Sequence[str],
    *,
    ca: str = "",
    secret_file: str = "",
    wait: float = WAIT,
    message_limits: MessageLimits = DEFAULT_LIMITS,
) -> Layer:
    """Return the layer of a list of hubs.

    Parameters:
        hubs: a URL each: `tcp+tls://host:7400`, `tcp://127.0.0.1:7400`, or `local:///path.sock`.
        ca: the file with the authorities that may vouch for a hub's certificate; the system's when empty.
        secret_file: the file with the secret; the environment variable `FAIRWAY_HUB_SECRET` when empty.
        wait: seconds that calls wait while no hub can be reached.
        message_limits: what one message may be.

    Raises:
        InvalidLayerSetting: one of them cannot be used.
    """
    check_list(hubs)
    access = Access(ca, SecretSource(secret_file))
    addresses = [_address(url, access) for url in hubs]
    for address in addresses:
        if isinstance(address, TcpAddress):
            address.check()
    if len(addresses) == 1:
        return HubLayer(addresses[0], wait, message_limits)
    return SeveralLayer(addresses, wait, message_limits)


def _address(url: str, access: Access) -> Address:
    return parse_url(url) if url.startswith(LOCAL) else make_tcp_address(url, access)
