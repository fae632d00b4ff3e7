"""Redis servers of a test's own: in a folder, on a port that stays theirs while they are restarted, and gone with it.

`redis_server` runs one. `tests.support.redis_cluster` and `tests.support.redis_sentinel` make several of them work
together. Nothing is kept on a disk unless a test asks, so a restart means an empty memory. Valkey serves as well.
"""

import contextlib
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis

from tests.support.components import require_component
from tests.support.processes import Program, free_port, running
from tests.support.waiting import wait_until

HOST = "127.0.0.1"
START_ATTEMPTS = 5
NO_PERSISTENCE = ("--save", "", "--appendonly", "no")
APPEND_ONLY = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")

# All that a user of the layer needs on its own keys: nothing that looks at other keys or changes the server. `role` is
# for Sentinel, `cluster|slots` for a Cluster.
LAYER_RIGHTS = (
    "-@all +@read +@write +@transaction +@connection -@dangerous "
    "+evalsha +script|load +script|exists +time +client|unblock +role +cluster|slots"
)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of an authority, and of a certificate of 127.0.0.1 that it has signed."""

    ca: Path
    certificate: Path
    key: Path


class RedisServer:
    """One server. It is started by `start`, and its port and folder stay the same when it is started again.

    Parameters:
        folder: an empty one with a short path, because the Unix socket lies there.
        options: more of redis-server's command line.
        certificates: the server then speaks TLS on its port, and nothing else.
    """

    def __init__(
        self, folder: Path, options: Sequence[str] = (), *, port: int = 0, certificates: Certificates | None = None
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.socket = folder / "redis.sock"
        self.certificates = certificates
        self._options = tuple(options)
        self._life = contextlib.ExitStack()
        self._program: Program | None = None

    @property
    def url(self) -> str:
        """What the layer is given; more options may follow."""
        if self.certificates:
            return f"rediss://{HOST}:{self.port}/0?ca={quote(str(self.certificates.ca))}"
        return f"redis://{HOST}:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """The same server by its Unix socket."""
        return f"redis+unix://{quote(str(self.socket))}?db=0"

    @property
    def pid(self) -> int:
        """The process id, of a server that has been started."""
        assert self._program
        return self._program.pid

    def output(self) -> str:
        """What it has printed since it was started."""
        return self._program.output() if self._program else ""

    def start(self, options: Sequence[str] = NO_PERSISTENCE) -> None:
        """Start it; once this returns it answers, with what it found on the disk."""
        program = require_component("redis")
        port = ["--port", str(self.port)]
        if self.certificates:
            port = ["--port", "0", "--tls-port", str(self.port), "--tls-cert-file", str(self.certificates.certificate)]
            port += ["--tls-key-file", str(self.certificates.key), "--tls-ca-cert-file", str(self.certificates.ca)]
            port += ["--tls-auth-clients", "optional"]
        place = ["--bind", HOST, "--unixsocket", str(self.socket), "--dir", str(self.folder)]
        arguments = [program, *port, *place, *options, *self._options]
        self._program = self._life.enter_context(running(arguments))
        self._program.wait_for_output("eady to accept connections")
        with self.client() as client:
            wait_until(lambda: _is_loaded(client), "Redis has read its files")

    def restart(self, options: Sequence[str] = NO_PERSISTENCE) -> None:
        """Kill it and start it again on the same port: empty, or with what `APPEND_ONLY` has kept."""
        self.kill()
        if options == NO_PERSISTENCE:
            self.forget()
        self.start(options)

    def forget(self) -> None:
        """Remove what a stopped server has left on the disk."""
        for left in self.folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would; all connections are gone."""
        if self._program:
            self._program.stop(signal.SIGKILL)
        self._life.close()

    def pause(self) -> None:
        """SIGSTOP: the sockets stay, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Pause it for the length of a ``with`` block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def client(self, **options: Any) -> "redis.Redis[bytes]":
        """A client for the test itself. Close it."""
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=10, **options)

    def call(self, *command: str | bytes | float) -> Any:
        """Send one command, and return its answer as it came."""
        with self.client(protocol=2) as client:
            return call(client, *command)

    def flush(self) -> None:
        """Empty it: keys, scripts, users. Whoever is still connected is sent away."""
        self.kill_clients()
        self.call("FLUSHALL")
        self.call("SCRIPT", "FLUSH")
        for user in self.call("ACL", "USERS"):
            if user != b"default":
                self.call("ACL", "DELUSER", user)

    def kill_clients(self) -> int:
        """`CLIENT KILL` everybody but the one who asks; return how many there were."""
        killed: int = self.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        return killed

    def add_user(self, name: str, password: str, prefix: str, rights: str = LAYER_RIGHTS) -> None:
        """Make an ACL user that may do what a layer does, on keys that begin with `{prefix:` alone."""
        self.call("ACL", "SETUSER", name, "reset", "on", f">{password}", f"~{{{prefix}:*", *rights.split())

    def _signal(self, number: int) -> None:
        assert self._program
        self._program.process.send_signal(number)


def call(client: "redis.Redis[bytes]", *command: str | bytes | float) -> Any:
    """Send one command through a client of RESP2, and return its answer as it came."""
    client.response_callbacks.clear()
    return client.execute_command(*command)


@contextlib.contextmanager
def redis_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="fw-redis-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextlib.contextmanager
def redis_server(*options: str, certificates: Certificates | None = None) -> Iterator[RedisServer]:
    """Run an empty server for the length of a ``with`` block."""
    with redis_folder() as folder:
        server = started(folder, options, certificates=certificates)
        try:
            yield server
        finally:
            server.kill()


def started(folder: Path, options: Sequence[str] = (), *, certificates: Certificates | None = None) -> RedisServer:
    """Return a server that runs; another port is tried where somebody was faster."""
    for attempt in range(1, START_ATTEMPTS + 1):
        server = RedisServer(folder, options, certificates=certificates)
        try:
            server.start()
        except AssertionError:
            server.kill()
            if attempt == START_ATTEMPTS:
                raise
        else:
            break
    return server


def make_certificates(folder: Path) -> Certificates:
    """Make an authority and a certificate for 127.0.0.1 and localhost in a folder."""
    ca, certificate, key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    request, ca_key = folder / "server.csr", folder / "ca.key"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    _openssl("req", "-x509", "-days", "2", *curve, "-subj", "/CN=Fairway's tests", "-keyout", ca_key, "-out", ca)
    _openssl("req", *curve, "-subj", "/CN=localhost", "-keyout", key, "-out", request)
    names = folder / "names"
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    signer = ["-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile", names]
    _openssl("x509", "-req", "-in", request, *signer, "-out", certificate)
    return Certificates(ca, certificate, key)


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run([require_component("openssl"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _is_loaded(client: "redis.Redis[bytes]") -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.BusyLoadingError:
        return False
