"""How often, and for how long, a server was cut off from its layer: group messages of that time were not heard here."""


class Gaps:
    """The times between a lost broker and the next one. Times are those of the event loop."""

    __slots__ = ("_since", "count", "seconds")

    def __init__(self) -> None:
        self._since: float | None = None
        self.count = 0
        self.seconds = 0.0

    def begin(self, now: float) -> None:
        """The broker is away."""
        if self._since is None:
            self._since = now

    def end(self, now: float) -> None:
        """There is a broker that had to be told of our groups again; that alone is a gap, if of unknown length."""
        self.count += 1
        self.seconds += now - self._since if self._since is not None else 0.0
        self._since = None
