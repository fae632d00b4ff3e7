"""The roster: who is connected to this server, who may come in, and what every connection needs."""

import time
from collections import Counter
from dataclasses import replace
from email.utils import formatdate
from typing import Generic, TypeVar

from fairway.server.forwarding import Address
from fairway.server.gateway import Gateway
from fairway.server.proxies import Proxies
from fairway.server.rates import Doorman

C = TypeVar("C")


class Roster(Generic[C]):
    """The open connections of one server. Each finds its gateway here, and the date for its responses.

    Parameters:
        gateway: the way to the layer.
        most: how many connections may be open at the same time.
    """

    def __init__(self, gateway: Gateway, most: int) -> None:
        self.gateway = gateway
        self.proxies = Proxies(gateway.config.proxies)
        self.connections: set[C] = set()
        self.stopping = False
        self.requests = 0
        """HTTP requests begun."""
        self.handshakes = 0
        """WebSocket handshakes begun."""
        self.refusals: Counter[int] = Counter()
        """HTTP answers that no response of an application was, by their status."""
        self.closes: Counter[int] = Counter()
        """WebSockets that have ended, by their close code."""
        self._doorman = Doorman(replace(gateway.limits.rates, connections=most))
        self._date = b""
        self._date_second = 0

    @property
    def turned_away(self) -> Counter[str]:
        """Connections closed unheard, by the limit that did it."""
        return self._doorman.turned_away

    def opened(self, connection: C, peer: Address | None) -> bool:
        """Note a new connection; return whether it may stay."""
        if self.stopping or not self._doorman.admit(self._counted(peer)):
            return False
        self.connections.add(connection)
        return True

    def closed(self, connection: C, address: Address | None) -> None:
        """Forget a connection. `address` is that of its peer, or whom it was handed over to."""
        if connection in self.connections:
            self.connections.discard(connection)
            self._doorman.release(self._counted(address))

    def hand_over(self, client: Address | None) -> bool:
        """Count a proxy's connection for the client whose WebSocket it carries; return whether that may have it."""
        return self._doorman.enter(self._counted(client))

    def _counted(self, address: Address | None) -> str:
        """Return whom a connection counts for. A proxy stands for many, and a Unix socket for nobody knows whom."""
        return "" if address is None or self.proxies.trusts(address) else address[0]

    def date(self) -> bytes:
        """Return the Date header's value; it changes once a second."""
        second = int(time.time())
        if second != self._date_second:
            self._date_second = second
            self._date = formatdate(second, usegmt=True).encode("ascii")
        return self._date
