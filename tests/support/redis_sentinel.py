"""A Redis behind Sentinel, of a test's own: a master, a replica, and one Sentinel or three that watch them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import redis

from tests.support.components import require_component
from tests.support.processes import Program, free_port, running
from tests.support.redis import HOST, RedisServer, call, redis_folder, started
from tests.support.waiting import wait_until

SERVICE = "fairway-tests"
DOWN_AFTER = 500
"""Milliseconds without an answer, and a Sentinel takes a server for down. A busy machine needs more where none is."""
FAILOVER_TIMEOUT = 3000
# A replica is wanted at once, not with others that may come.
MASTER_OPTIONS = ("--repl-diskless-sync-delay", "0")


class RedisSentinel:
    """Two servers and their Sentinels.

    `servers` are both servers, whoever is the master now; `sentinels` run on `ports`.
    """

    def __init__(self, servers: list[RedisServer], sentinels: list[Program]) -> None:
        self.servers = servers
        self.sentinels = sentinels
        self.ports = [sentinel.port for sentinel in sentinels]

    @property
    def url(self) -> str:
        """What the layer is given; more options may follow after `&`."""
        places = ",".join(f"{HOST}:{port}" for port in self.ports)
        return f"redis+sentinel://{places}/{SERVICE}?db=0"

    def master(self) -> RedisServer:
        """The server that the first Sentinel calls master."""
        port = self._master_port()
        return next(server for server in self.servers if server.port == port)

    def replica(self) -> RedisServer:
        """The other one."""
        port = self._master_port()
        return next(server for server in self.servers if server.port != port)

    def fail_over(self) -> RedisServer:
        """Ask for a failover, wait for it, and return the new master."""
        wanted = self.replica()
        self._ask(self.ports[0], "SENTINEL", "FAILOVER", SERVICE)
        return self.wait_for_master(wanted)

    def kill_master(self) -> RedisServer:
        """Kill the master, wait until the replica is one, and return it."""
        wanted = self.replica()
        self.master().kill()
        return self.wait_for_master(wanted)

    def wait_for_master(self, wanted: RedisServer) -> RedisServer:
        """Wait until a server is master, and all Sentinels say so."""
        wait_until(lambda: all(self._master_port(port) == wanted.port for port in self.ports), "the Sentinels")
        wait_until(lambda: wanted.call("ROLE")[0] == b"master", "the new master")
        return wanted

    def wait(self) -> None:
        """Wait until each Sentinel knows the replica and the other Sentinels, so that it can fail over."""
        wait_until(lambda: all(self._is_ready(port) for port in self.ports), "Sentinels that know each other")

    def set_password(self, password: str) -> None:
        """Demand a password of whoever asks a Sentinel; the methods of this class no longer work then."""
        for port in self.ports:
            self._ask(port, "ACL", "SETUSER", "default", "resetpass", f">{password}")

    def _is_ready(self, port: int) -> bool:
        master = _table(self._ask(port, "SENTINEL", "MASTER", SERVICE))
        replicas = [_table(one) for one in self._ask(port, "SENTINEL", "REPLICAS", SERVICE)]
        return (
            master[b"num-other-sentinels"] == b"%d" % (len(self.ports) - 1)
            and len(replicas) == 1
            and replicas[0][b"master-link-status"] == b"ok"
        )

    def _master_port(self, port: int = 0) -> int:
        return int(self._ask(port or self.ports[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def _ask(self, port: int, *command: str) -> Any:
        with redis.Redis(host=HOST, port=port, socket_timeout=10, protocol=2) as client:
            return call(client, *command)


@contextlib.contextmanager
def redis_sentinel(sentinels: int = 1, *, down_after: int = DOWN_AFTER) -> Iterator[RedisSentinel]:
    """Run a master, a replica and some Sentinels for the length of a ``with`` block."""
    with contextlib.ExitStack() as life:
        servers: list[RedisServer] = []
        for _ in range(2):
            follow = ("--replicaof", HOST, str(servers[0].port)) if servers else ()
            server = started(life.enter_context(redis_folder()), (*MASTER_OPTIONS, *follow))
            life.callback(server.kill)
            servers.append(server)
        wait_until(lambda: servers[1].call("ROLE")[3] == b"connected", "the replica")
        watching = [_start_sentinel(life, servers[0].port, down_after) for _ in range(sentinels)]
        group = RedisSentinel(servers, watching)
        group.wait()
        yield group


def _start_sentinel(life: contextlib.ExitStack, master: int, down_after: int) -> Program:
    folder, port = life.enter_context(redis_folder()), free_port()
    settings = folder / "sentinel.conf"
    settings.write_text(
        f"port {port}\nbind {HOST}\ndir {folder}\n"
        f"sentinel monitor {SERVICE} {HOST} {master} 1\n"
        f"sentinel down-after-milliseconds {SERVICE} {down_after}\n"
        f"sentinel failover-timeout {SERVICE} {FAILOVER_TIMEOUT}\n"
        f"sentinel parallel-syncs {SERVICE} 1\n"
    )
    return life.enter_context(running([require_component("redis"), settings, "--sentinel"], port=port))


def _table(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
