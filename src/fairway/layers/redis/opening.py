"""Connections to one server: redis-py connects, speaks TLS, logs in and selects the database; then its socket is ours.

After the greeting nothing of redis-py is between us and the socket: many commands are in flight at once, and their
replies are read by whoever has the turn, which its connections are not made for. RESP2 suffices and says the same on
every server, so nothing comes that was not asked for.
"""

import os
import ssl
from collections.abc import Mapping
from typing import Any, Final

from redis import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from fairway.errors import InvalidLayerSetting, LayerUnavailable
from fairway.layers.redis.address import Login, Node, Tls, Verify
from fairway.layers.redis.wire import Wire, unavailable

CONNECT_TIMEOUT: Final = 2.0
FAILURES: Final = (RedisError, OSError, UnicodeError)
"""What a greeting can end with. A timeout is an OSError, a host that no name can be is a UnicodeError."""


class Opener:
    """Opens connections to servers that share a login, a database and the terms of TLS.

    Parameters:
        login: who we are.
        db: the database.
        tls: how TLS is spoken; None: it is not.
        role: what a server must be, such as "master"; "": nobody asks.

    Raises:
        InvalidLayerSetting: a file of `tls` cannot be used.
    """

    def __init__(self, login: Login, db: int, tls: Tls | None, role: str = "") -> None:
        self._login = login
        self._db = db
        self._role = role
        self._context = make_context(tls) if tls else None

    def open(self, node: Node, timeout: float = CONNECT_TIMEOUT) -> Wire:
        """Return a wire to a server; each step on the way has `timeout` seconds.

        Raises:
            LayerUnavailable: it cannot be reached, does not let us in, or has another role; the text says why.
        """
        connection = self._connection(node, timeout)
        try:
            connection.connect()
            if self._role:
                connection.send_command("ROLE")
                check_role(self._role, connection.read_response(), node)
        except FAILURES as error:
            connection.disconnect()
            raise _refused(node, error) from error
        except LayerUnavailable:
            connection.disconnect()
            raise
        # The one place where a socket changes hands: redis-py forgets it, and would otherwise close it when collected.
        taken, connection._sock = connection._sock, None  # noqa: SLF001
        connection.disconnect()
        return Wire(taken, node)

    def _connection(self, node: Node, timeout: float) -> Any:
        options = self._options(timeout)
        if node.path:
            return UnixDomainSocketConnection(path=node.path, **options)  # type: ignore[abstract,no-untyped-call]
        if self._context is None:
            return Connection(host=node.host, port=node.port, **options)  # type: ignore[no-untyped-call]
        return _TlsConnection(self._context, host=node.host, port=node.port, **options)

    def _options(self, timeout: float) -> Mapping[str, Any]:
        return {
            "db": self._db,
            "username": self._login.user or None,
            "password": self._login.password or None,
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "protocol": 2,
        }


def make_context(tls: Tls) -> ssl.SSLContext:
    """Return how TLS is spoken with servers. An authority that is named is the only one that is believed.

    Raises:
        InvalidLayerSetting: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = tls.verify is Verify.FULL
    if tls.verify is Verify.NONE:
        context.verify_mode = ssl.CERT_NONE
    try:
        if tls.ca:
            context.load_verify_locations(cafile=tls.ca)
        else:
            context.load_default_certs()
    except OSError as error:
        raise InvalidLayerSetting(f"ca={tls.ca!r} of the Redis URL cannot be used: {error}; a file of PEM") from error
    if tls.certificate:
        try:
            # Without a password of its own OpenSSL would ask the terminal for one.
            context.load_cert_chain(tls.certificate, tls.key or None, password="")
        except (OSError, ValueError) as error:
            files = f"certificate={tls.certificate!r} with key={tls.key!r}"
            remedy = "files of PEM, the key without a password"
            raise InvalidLayerSetting(f"{files} of the Redis URL cannot be used: {error}; {remedy}") from error
    return context


def check_role(wanted: str, reply: Any, node: Node) -> None:
    """See that `ROLE` was answered by a server that has the role.

    Raises:
        LayerUnavailable: it has another one.
    """
    role = reply[0].decode()
    if role != wanted:
        raise unavailable(node, f"is no {wanted} but a {role}; Sentinel may be failing over")


class _TlsConnection(SSLConnection):
    """redis-py's, with a context that is made once, and believes no authority but the one that was named."""

    def __init__(self, context: ssl.SSLContext, **options: Any) -> None:
        self._context = context
        super().__init__(**options)

    def _wrap_socket_with_ssl(self, sock: Any) -> ssl.SSLSocket:
        return self._context.wrap_socket(sock, server_hostname=self.host)


def _refused(node: Node, error: Exception) -> LayerUnavailable:
    """Return the error of a greeting that failed, in words that hold no password."""
    if isinstance(error, AuthenticationError):
        return unavailable(node, f"does not let us in: {error}; see the user and the password of its URL")
    if isinstance(error, ResponseError):
        return unavailable(node, f"does not serve us: {error}")
    if isinstance(error, TimeoutError) or "Timeout" in str(error):
        return unavailable(node, "gave no answer in time")
    cause = error.__cause__ or error.__context__ or error
    # asyncio has a text of its own in the place of the system's, with the host once more.
    number = cause.errno or 0 if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) else 0
    return unavailable(node, f"cannot be reached: {os.strerror(number) if number > 0 else cause}")
