"""The sessions of a broker: who reads what, who is idle, and who holds which delivery."""

from collections.abc import Iterator

from fairway.broker.effects import Delivery
from fairway.broker.mailbox import Mailbox


class Session:
    """One process's open line: its channels, its demand, and the deliveries it holds by receipt.

    `reserve` is the part of its demand that is window only: what no idle thread stands behind.
    """

    __slots__ = ("_boxes", "_turn", "channels", "demand", "id", "leases", "paused", "reserve")

    def __init__(self, session_id: int, channels: tuple[str, ...], boxes: list[Mailbox], reserve: int = 0) -> None:
        self.id = session_id
        self.channels = channels
        self._boxes = boxes
        self._turn = 0
        self.reserve = reserve
        self.demand = 0
        self.paused = False
        self.leases: dict[int, Delivery] = {}

    @property
    def slack(self) -> int:
        """How many of its threads are idle; below zero, how many deliveries it holds ahead of them."""
        return self.demand - self.reserve

    def next_box(self) -> Mailbox | None:
        """Return the next mailbox with a message, in turn: a busy channel does not starve a quiet one."""
        boxes, turn = self._boxes, self._turn
        for at, box in enumerate(boxes[turn:] + boxes[:turn], turn + 1) if turn else enumerate(boxes, 1):
            if box.letters:
                self._turn = at % len(boxes)
                return box
        return None


class Sessions:
    """All open sessions, and for each channel its readers, the one whose turn it is first."""

    __slots__ = ("_open", "_readers")

    def __init__(self) -> None:
        self._open: dict[int, Session] = {}
        self._readers: dict[str, dict[int, Session]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._open.values())

    def __getitem__(self, session_id: int) -> Session:
        return self._open[session_id]

    def get(self, session_id: int) -> Session | None:
        """Return an open session, or None."""
        return self._open.get(session_id)

    def open(self, session: Session) -> None:
        """Add a session."""
        self._open[session.id] = session
        for channel in session.channels:
            self._readers.setdefault(channel, {})[session.id] = session

    def close(self, session_id: int) -> Session | None:
        """Remove and return a session, or None when it is closed already."""
        session = self._open.pop(session_id, None)
        if session:
            self._turn_away(session)
        return session

    def pause(self, session_id: int) -> None:
        """Let an open session read nothing any more; it keeps what it holds."""
        session = self._open.get(session_id)
        if session:
            session.paused = True
            self._turn_away(session)

    def _turn_away(self, session: Session) -> None:
        for channel in session.channels:
            readers = self._readers.get(channel)
            if readers:
                readers.pop(session.id, None)
                if not readers:
                    del self._readers[channel]

    def has_reader(self, channel: str) -> bool:
        """Whether a session that is not paused reads `channel`. The only question that is asked without the lock."""
        return channel in self._readers

    def idle_reader(self, channel: str) -> Session | None:
        """Return a session that reads `channel` and would take a delivery; the next call starts with another one.

        One with an idle thread goes before one that would only hold it, and of those the one that holds the least.
        """
        readers = self._readers.get(channel)
        if not readers:
            return None
        found = None
        for session in readers.values():
            if session.demand > session.reserve:
                found = session
                break
            if session.demand and (found is None or session.slack > found.slack):
                found = session
        if found and len(readers) > 1:
            readers[found.id] = readers.pop(found.id)
        return found
