"""A broker that is joined with others: what has no recipient here leaves for the upstream, in place of being dropped.

The rules, all of them decided here; the shell does what the signals (`outward`) say:

* **A channel that a session here reads is served here.** Nothing of it waits for the upstream.
* **A direct send, or an effect of a commit, for a channel that nobody here reads** goes to the upstream at once.
* **A connection's own message** waits here for a worker of this host, which may just be starting again. Once nobody
  here has read its channel for `patience` seconds it goes to the upstream, and so do the next ones, at once.
* **A group send** goes to the members here at once, and to the upstream. The copy that comes back is dropped by its id.
* **A delivery that came from the upstream** is leased to the one session it was fetched for, and never waits in a
  mailbox. Its end is the upstream's business: the whole commit goes there, and with its session its lease there ends.

Members of groups that have no owner here (normal channels, connections of other hosts) live in the upstream alone.
"""

from collections.abc import Collection, Iterable

from fairway.broker.core import Broker
from fairway.broker.effects import (
    Abandoned,
    Done,
    Effect,
    Envelope,
    Frame,
    Grant,
    GroupFrame,
    GroupSend,
    Item,
    Outward,
    Refused,
    SaveState,
    Send,
    Settled,
    State,
)
from fairway.broker.guests import AWAY, Guests
from fairway.broker.inbox import Inbox
from fairway.broker.mailbox import Letter
from fairway.broker.outward import Forward, ForwardSubmit, GroupCame, OwnerCame, SessionCame, Withdrawn
from fairway.broker.post import queue_name
from fairway.broker.publishing import letter_of
from fairway.broker.repeats import Repeats
from fairway.errors import LayerUnavailable
from fairway.limits import BrokerLimits

PATIENCE = 2.0
"""Seconds without a reader here before a connection's messages go elsewhere: a deploy or a crash takes less."""


class JoinedBroker(Guests):
    """All queues, leases, groups and inboxes of one broker among several."""

    def __init__(self, epoch: str, limits: BrokerLimits | None = None, patience: float = PATIENCE) -> None:
        super().__init__(epoch, limits)
        self._patience = patience
        self._unread: dict[str, float] = {}
        """Channel -> since when a connection's messages find no reader here."""
        self._group_ids = Repeats(self.limits.repeat_memory, self.limits.repeat_count)
        """The group messages that the members here have had."""

    # --- what leaves -------------------------------------------------------------------------------------------------

    def publish(self, effect: Effect, now: float, deadline: float | None = None) -> int:
        """Publish one effect outside any commit; see `Publishing.publish`.

        Raises:
            LayerUnavailable: it has no recipient here, and the upstream is away.
        """
        try:
            return super().publish(effect, now, deadline)
        except LayerUnavailable:
            if isinstance(effect, Send) and effect.id:
                self._repeats.forget(effect.id)
            raise

    def _enqueue(self, letter: Letter, now: float, deadline: float | None, token: int) -> int:
        name = queue_name(letter[0].channel)
        if self._is_read_here(name):
            return super()._enqueue(letter, now, deadline, token)
        envelope, body = letter
        effect = Send(envelope.channel, body, envelope.reply_channel, envelope.state, envelope.id)
        if deadline is not None and not token:  # of a commit
            self.signals.append(Forward(effect))
            return 0
        if not self.post.has_memory:
            return super()._enqueue(letter, now, deadline, token)
        if not self.is_upstream_here:
            raise LayerUnavailable(f"{envelope.channel!r} cannot be sent to: {AWAY}")
        token = token or next(self._numbers)
        self._outside[token] = envelope.id
        self.signals.append(Forward(effect, token, deadline or 0))
        return token

    def _is_read_here(self, name: str) -> bool:
        return self.sessions.has_reader(name) or (name.endswith("!") and self.post.readers(name) > 0)

    def _carry(self, effect: Effect, effect_id: str, now: float) -> None:
        if isinstance(effect, SaveState | Grant) and self.owners.of(effect.channel) is None:
            self.signals.append(Forward(effect))
        else:
            super()._carry(effect, effect_id, now)

    def _send_group(self, effect: GroupSend, effect_id: str, now: float) -> None:
        self._group_ids.seen(effect_id, now)
        super()._send_group(effect, effect_id, now)
        self.signals.append(Forward(GroupSend(effect.group, effect.body, effect.typed, effect_id)))

    def settle(self, token: int, error: str | Exception) -> None:
        """Tell the sender of a direct send how it ended at the upstream; "" when it is published."""
        message_id = self._outside.pop(token, "")
        if error and message_id:
            self._repeats.forget(message_id)
        self.signals.append(Settled(token, error))

    def withdraw(self, channel: str, token: int) -> bool:
        """Take a publish that waits back, here or at the upstream; see `Publishing.withdraw`."""
        if token not in self._outside:
            return super().withdraw(channel, token)
        self._repeats.forget(self._outside.pop(token))
        self.signals.append(Withdrawn(token))
        return True

    def refuse_forward(self, effect: Send, now: float) -> None:
        """Make an effect of a commit a dead letter: the upstream had no room for it."""
        self.post.held += len(effect.body)
        self._bury(letter_of(effect, effect.id), "full", now)

    # --- the messages of connections ---------------------------------------------------------------------------------

    def submit(self, owner: int, envelope: Envelope, body: bytes, now: float) -> None:
        """Take a connection's message from its owner, or pass it on; see `Broker.submit`."""
        name = envelope.channel
        if envelope.attempt == 1 and self.sessions.has_reader(name):
            Broker.submit(self, owner, envelope, body, now)  # Micro-optimization: what nearly every message is
            return
        inbox = self.owners.by_number(owner)
        if inbox and envelope.attempt > 1 and self._has_still(inbox, envelope.id):
            self.repeats_dropped += 1
            return
        if inbox is None or not self.is_upstream_here or not self._is_for_others(inbox, envelope, now):
            super().submit(owner, envelope, body, now)
            return
        if inbox.wills:
            self._note_will(inbox, envelope)
        self._submit_outside(owner, envelope, body)

    def _submit_outside(self, owner: int, envelope: Envelope, body: bytes) -> None:
        if envelope.order >= 0:
            self.owners.outside.setdefault(owner, set()).add(envelope.reply_channel)
        self.signals.append(ForwardSubmit(owner, envelope, body))

    def _is_for_others(self, inbox: Inbox, envelope: Envelope, now: float) -> bool:
        """Whether a connection's message leaves.

        Parts of a request follow it. A message that is sent again goes where one of its connection is; of those whose
        broker was lost nobody knows that, and they begin anew here.
        """
        name = queue_name(envelope.channel)
        if "?" in name or envelope.attempt > 1:
            is_outside = envelope.reply_channel in self.owners.outside.get(inbox.id, ())
            if is_outside or "?" in name:
                return is_outside
        if self._is_read_here(name):
            return False
        return name.endswith("!") or now - self._unread.setdefault(name, now) >= self._patience

    def forward_unread(self, now: float) -> None:
        """Let what has waited here for too long without a reader leave.

        An application's message that has cost a worker its life stays: only here its attempts are counted.
        """
        if not self.is_upstream_here:
            return
        for name, box in tuple(self.post.boxes().items()):
            if not box.letters or "?" in name or self._is_read_here(name):
                continue
            if now - self._unread.setdefault(name, now) < self._patience:
                continue
            kept = []
            while box.letters:
                letter = box.take()
                if not self._let_go(letter):
                    kept.append(letter)
            for letter in reversed(kept):
                box.put_back(letter)
            self._admit(box)
            self.post.forget_box(name)

    def _let_go(self, letter: Letter) -> bool:
        envelope, body = letter
        owner = self.owners.of(envelope.reply_channel) if envelope.order >= 0 else None
        if owner:
            self._submit_outside(owner.id, envelope, body)
        elif envelope.attempt == 1 or envelope.order >= 0:
            effect = Send(envelope.channel, body, envelope.reply_channel, envelope.state, envelope.id)
            self.signals.append(Forward(effect))
        else:
            return False
        self.post.held -= len(body)
        return True

    def open_session(self, channels: Collection[str], reserve: int = 0) -> int:
        """Open a session; see `Deliveries.open_session`."""
        session_id = super().open_session(channels, reserve)
        for name in self.sessions[session_id].channels:
            self._unread.pop(name, None)
        return session_id

    # --- what comes for owners ---------------------------------------------------------------------------------------

    def deliver_group(self, frame: GroupFrame, now: float) -> None:
        """Take a group message from the upstream to the owners here, unless they have had it."""
        if not self._group_ids.seen(frame.id, now):
            super()._send_group(GroupSend(frame.group, frame.body, frame.typed, frame.id), frame.id, now)

    def relay(self, owner: int, items: Iterable[Item]) -> None:
        """Give an owner the items that the upstream has for it."""
        inbox = self.owners.by_number(owner)
        if inbox is None:
            return
        outside = self.owners.outside.get(owner)
        for item in items:
            if isinstance(item, Frame):
                self.owners.frame(inbox, item.channel, item.body)
            elif isinstance(item, State):
                self.owners.state(inbox, item.channel, item.changes)
            else:
                self.owners.tell(inbox, item)
                if outside and isinstance(item, Done | Abandoned | Refused):
                    outside.discard(item.channel)

    def census(self) -> list[Outward]:
        """Return the signals of all that came before anybody acted on them."""
        return [
            *(OwnerCame(inbox.id, inbox.prefixes) for inbox in self.owners),
            *(GroupCame(group) for group in self.owners.directory),
            *(SessionCame(session.id, session.channels) for session in self.sessions),
        ]

    def flush(self) -> None:
        """Drop all messages and groups; see `Broker.flush`."""
        super().flush()
        self._group_ids.clear()
        self._unread.clear()
