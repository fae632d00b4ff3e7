"""Which shard of a deployment holds what: pure names.

A shard is named after the first prefix of its owner (`s1!`), or `#0`, `#1`, … for those of application channels and
groups. Its keys begin with `{prefix:shard}`: the braces keep them in one slot of a cluster.
"""

import zlib

from fairway.names import owner_prefix

ROOT = "#0"
"""The shard in which servers are registered."""

ALIASES = 10_000
"""Prefixes that are remembered as second ones of an owner; beyond it all are learnt anew."""


class Shards:
    """The shards of one deployment, as one process knows them.

    Parameters:
        prefix: what the keys of this deployment begin with.
        count: how many shards application channels and groups are spread over; the same in all processes.
    """

    def __init__(self, prefix: str, count: int = 1) -> None:
        self.prefix = prefix
        self.count = count
        self._aliases: dict[str, str] = {}

    @property
    def common(self) -> list[str]:
        """The shards of application channels and groups."""
        return [f"#{number}" for number in range(self.count)]

    def base(self, shard: str) -> str:
        """Return what the shard's keys begin with."""
        return f"{{{self.prefix}:{shard}}}"

    def key(self, shard: str, name: str) -> str:
        """Return one key of a shard."""
        return f"{{{self.prefix}:{shard}}}:{name}"

    def of_channel(self, channel: str) -> str:
        """Return the shard of a channel, as far as is known: a script may say that it has moved."""
        prefix = owner_prefix(channel)
        if prefix:
            return self._aliases.get(prefix, prefix)
        return self.spread(channel)

    def spread(self, name: str) -> str:
        """Return the shard of a group or an application channel."""
        return f"#{zlib.crc32(name.encode()) % self.count}" if self.count > 1 else ROOT

    def learn(self, channel: str, shard: str) -> None:
        """Note where the owner of a channel keeps its inbox: its prefix is not the first of that owner."""
        if len(self._aliases) >= ALIASES:
            self._aliases.clear()
        self._aliases[owner_prefix(channel)] = shard
