"""What error replies mean; the texts are those of Redis 6.2 to 8 and of Valkey."""

import pytest

from fairway.layers.redis.address import parse_redis_url
from fairway.layers.redis.nodes import Nodes
from fairway.layers.redis.troubles import Trouble, trouble
from fairway.layers.redis.wire import ReplyError, pack


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("LOADING Redis is loading the dataset in memory", Trouble.WAIT),
        ("LOADING", Trouble.WAIT),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", Trouble.WAIT),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Trouble.WAIT),
        ("CLUSTERDOWN Hash slot not served", Trouble.WAIT),
        ("NOREPLICAS Not enough good replicas to write.", Trouble.WAIT),
        ("ERR max number of clients reached", Trouble.WAIT),
        ("READONLY You can't write against a read only replica.", Trouble.RECONNECT),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", Trouble.RECONNECT),
        ("UNBLOCKED force unblock from blocking operation, instance state changed (now a replica?)", Trouble.RECONNECT),
        ("UNBLOCKED the stream key no longer exists", Trouble.FORGOTTEN),
        ("NOGROUP No such key 'x' or consumer group 'y' in XREADGROUP with GROUP option", Trouble.FORGOTTEN),
        ("MOVED 3999 127.0.0.1:6381", Trouble.MOVED),
        ("ASK 3999 127.0.0.1:6381", Trouble.WAIT),
        ("NOSCRIPT No matching script. Please use EVAL.", Trouble.SCRIPT),
        ("OOM command not allowed when used memory > 'maxmemory'.", Trouble.FULL),
        ("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist", Trouble.FULL),
        ("NOAUTH Authentication required.", Trouble.REFUSED),
        ("WRONGPASS invalid username-password pair or user is disabled.", Trouble.REFUSED),
        ("NOPERM this user has no permissions to run the 'get' command", Trouble.REFUSED),
        ("ERR AUTH <password> called without any password configured for the default user.", Trouble.REFUSED),
        ("ERR invalid password", Trouble.REFUSED),
        ("ERR unknown command 'FOO', with args beginning with: ", Trouble.BUG),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", Trouble.BUG),
        ("", Trouble.BUG),
        # What a script has met: from 7.0 on, and before.
        ("OOM command not allowed when used memory > 'maxmemory'. script: 8d, on @user_script:1.", Trouble.FULL),
        (
            "ERR Error running script (call to f_8d): @user_script:1: @user_script: 1: -OOM command not allowed",
            Trouble.FULL,
        ),
        ("ERR Error running script (call to f_8d): @user_script:1: user_script:1: -1 is no number", Trouble.BUG),
    ],
)
def test_what_an_error_means(text: str, meaning: Trouble) -> None:
    assert trouble(ReplyError(text)) is meaning


def test_scripts_tell_what_they_met(own_redis) -> None:
    """Whatever version is installed here."""
    nodes = Nodes(parse_redis_url(own_redis.url))
    wire = nodes.connect(nodes.node_of("key"))
    script = pack("EVAL", "return redis.call('SET', KEYS[1], '1')", 1, "key")
    own_redis.call("CONFIG", "SET", "maxmemory", "1")
    full = wire.ask(script, timeout=10)[0]
    own_redis.call("CONFIG", "SET", "maxmemory", "0")
    own_redis.call("REPLICAOF", "127.0.0.1", "1")
    moved = wire.ask(script, timeout=10)[0]
    wire.close()
    assert [trouble(full), trouble(moved)] == [Trouble.FULL, Trouble.RECONNECT]
