"""The sessions of a broker: who reads what, who is idle, and who holds which delivery."""

from collections.abc import Iterator

from fairway.broker.effects import Delivery
from fairway.broker.mailbox import Mailbox


class Session:
    """One process's open line: its channels, its demand, and the deliveries it holds by receipt."""

    __slots__ = ("_boxes", "_turn", "channels", "demand", "id", "leases", "paused")

    def __init__(self, session_id: int, channels: tuple[str, ...], boxes: list[Mailbox]) -> None:
        self.id = session_id
        self.channels = channels
        self._boxes = boxes
        self._turn = 0
        self.demand = 0
        self.paused = False
        self.leases: dict[int, Delivery] = {}

    def next_box(self) -> Mailbox | None:
        """Return the next mailbox with a message, in turn: a busy channel does not starve a quiet one."""
        boxes = self._boxes
        for turn in range(self._turn, self._turn + len(boxes)):
            box = boxes[turn % len(boxes)]
            if box.letters:
                self._turn = (turn + 1) % len(boxes)
                return box
        return None


class Sessions:
    """All open sessions, and those with demand in the order in which they became idle."""

    __slots__ = ("_idle", "_open")

    def __init__(self) -> None:
        self._open: dict[int, Session] = {}
        self._idle: dict[int, Session] = {}

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

    def close(self, session_id: int) -> Session | None:
        """Remove and return a session, or None when it is closed already."""
        self._idle.pop(session_id, None)
        return self._open.pop(session_id, None)

    def pause(self, session: Session) -> None:
        """Take a session out of the idle ones for good."""
        session.paused = True
        self._idle.pop(session.id, None)

    def change_demand(self, session: Session, more: int) -> None:
        """Change how many deliveries a session would take, and with it whether it is idle."""
        session.demand += more
        if session.demand <= 0:
            self._idle.pop(session.id, None)
        elif not session.paused:
            self._idle[session.id] = session

    def idle_reader(self, channel: str) -> Session | None:
        """Return an idle session that reads `channel`; the next call starts with another one."""
        for session in self._idle.values():
            if channel in session.channels:
                if len(self._idle) > 1:
                    self._idle[session.id] = self._idle.pop(session.id)
                return session
        return None
