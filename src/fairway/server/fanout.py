"""Local groups: which connections of this server are in which group, and one frame for all of them.

A group send arrives here once. Its frame is encoded once, compressed at most once, and the same bytes are written to
every member: no per-member encoding, task or await.
"""

import logging
import time
from functools import cached_property
from typing import Protocol

from msgspec import DecodeError

from fairway.broker.effects import Add, Announced, Discard, GroupFrame
from fairway.broker.repeats import Repeats
from fairway.errors import InvalidMessage
from fairway.layers.base import Inbox
from fairway.server.replies import GroupReply, decode_group_reply
from fairway.wire import frames

logger = logging.getLogger("fairway.server")


REPEAT_MEMORY = 600.0
REPEAT_COUNT = 10_000
"""How long, and how many, ids of group messages are remembered. A consumer that had committed when its broker was lost
may run again on the next broker, which knows nothing of the first run; we do. That happens within seconds."""

GONE: set[str] = set()
"""The groups of a connection that has ended: it can join none any more."""


class GroupMessage:
    """A group message on its way to the members: the same object for all of them."""

    def __init__(self, group: str, reply: GroupReply, compress_from: int) -> None:
        self.group = group
        self.reply = reply
        self.close_code = 1000 if reply.close is True else int(reply.close or 0)
        payload = reply.text if reply.text is not None else reply.data
        self.has_frame = payload is not None
        self.compressible = payload is not None and len(payload) >= compress_from

    @cached_property
    def plain(self) -> bytes:
        """The frame, uncompressed."""
        reply = self.reply
        return frames.encode_text(reply.text) if reply.text is not None else frames.encode_bytes(reply.data or b"")

    @cached_property
    def packed(self) -> bytes:
        """The frame for clients that take deflate."""
        return pack(self.reply.text, self.reply.data)


def pack(text: str | None, data: bytes | None) -> bytes:
    """Return a compressed frame for a text or binary message."""
    if text is not None:
        return frames.deflate_message(text.encode(), frames.TEXT)
    return frames.deflate_message(data or b"", frames.BINARY)


class Member(Protocol):
    """A connection, as far as groups know it."""

    groups: set[str] | None

    def on_join(self, group: str) -> None:
        """Learn that the connection is a member."""

    def on_group(self, message: GroupMessage) -> None:
        """Take a group message."""

    def on_event(self, body: bytes) -> None:
        """Take a typed group message, encoded."""


class Fanout:
    """The groups of one server."""

    __slots__ = ("_compress_from", "_generations", "_inbox", "_members", "_seen")

    def __init__(self, inbox: Inbox, compress_from: int) -> None:
        self._inbox = inbox
        self._compress_from = compress_from
        self._members: dict[str, dict[Member, None]] = {}
        self._generations: dict[str, int] = {}
        self._seen = Repeats(REPEAT_MEMORY, REPEAT_COUNT)

    def __len__(self) -> int:
        return len(self._members)

    def add(self, item: Add, member: Member | None) -> None:
        """Make a connection a member. For one that is gone (None), the layer is told if nobody else is in the group."""
        self._generations[item.group] = item.generation
        if member is None or member.groups is GONE:
            self._leave_if_empty(item.group)
            return
        self._members.setdefault(item.group, {})[member] = None
        if member.groups is None:
            member.groups = set()
        member.groups.add(item.group)
        member.on_join(item.group)

    def discard(self, item: Discard, member: Member) -> None:
        """End a membership."""
        if member.groups and item.group in member.groups:
            member.groups.discard(item.group)
            self._remove(item.group, member)

    def renew(self) -> list[str]:
        """Forget what a broker that is lost has said about its generations; return all groups, to be announced."""
        self._generations = dict.fromkeys(self._members, 0)  # no generation: a leave that names it ends nothing
        return list(self._members)

    def announced(self, item: Announced) -> None:
        """Note the generation of a group that was announced. If the last member has left meanwhile, so do we."""
        self._generations[item.group] = item.generation
        self._leave_if_empty(item.group)

    def forget(self, member: Member) -> None:
        """End all memberships of a connection."""
        groups, member.groups = member.groups, GONE
        for group in groups or ():
            self._remove(group, member)

    def members(self, group: str) -> list[Member]:
        """Return the members of a group."""
        return list(self._members.get(group, ()))

    def deliver(self, item: GroupFrame) -> None:
        """Take a group message to every member, unless it was here before."""
        members = self._members.get(item.group)
        if not members or (item.id and self._seen.seen(item.id, time.monotonic())):
            return
        if item.typed:
            for member in tuple(members):
                member.on_event(item.body)
            return
        try:
            message = GroupMessage(item.group, decode_group_reply(item.body), self._compress_from)
            # Encoded here, so that what cannot be is one error and not one a member.
            if message.has_frame:
                message.plain  # noqa: B018
            if message.close_code:
                frames.encode_close(message.close_code)
        except (DecodeError, InvalidMessage) as error:
            logger.error("a message for group %r was dropped: %s", item.group, error)  # noqa: TRY400
            return
        for member in tuple(members):
            try:
                member.on_group(message)
            except Exception:  # one member's trouble is not the others'
                logger.exception("a message for group %r failed for one member", item.group)

    def _remove(self, group: str, member: Member) -> None:
        members = self._members.get(group)
        if members is not None:
            members.pop(member, None)
            if not members:
                del self._members[group]
        self._leave_if_empty(group)

    def _leave_if_empty(self, group: str) -> None:
        if group not in self._members:
            self._inbox.leave(group, self._generations.pop(group))
