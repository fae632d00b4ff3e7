"""The roster: who is connected to this server, who may come in, and what every connection needs."""

import time
from email.utils import formatdate
from typing import Generic, TypeVar

from fairway.server.gateway import Gateway
from fairway.server.rates import Doorman

C = TypeVar("C")


class Roster(Generic[C]):
    """The open connections of one server. Each finds its gateway here, and the date for its responses."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.connections: set[C] = set()
        self.stopping = False
        self._doorman = Doorman(gateway.limits.rates)
        self._date = b""
        self._date_second = 0

    def opened(self, connection: C, address: tuple[str, int] | None) -> bool:
        """Note a new connection; return whether it may stay."""
        if self.stopping or not self._doorman.admit(address[0] if address else ""):
            return False
        self.connections.add(connection)
        return True

    def closed(self, connection: C, address: tuple[str, int] | None) -> None:
        """Forget a connection."""
        if connection in self.connections:
            self.connections.discard(connection)
            self._doorman.release(address[0] if address else "")

    def date(self) -> bytes:
        """Return the Date header's value; it changes once a second."""
        second = int(time.time())
        if second != self._date_second:
            self._date_second = second
            self._date = formatdate(second, usegmt=True).encode("ascii")
        return self._date
