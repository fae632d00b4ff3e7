"""Notices channels in which messages wait and that nobody reads: most likely no worker runs.

Nothing else would say so before the time of each message is over, and a browser that waits for a minute tells nothing.
"""

from collections.abc import Mapping

PATIENCE = 5.0
"""Seconds without a reader that are nothing special: the only worker may just be starting again."""

MOST_NAMED = 10


class UnreadChannels:
    """Remembers since when channels have been unread, and what was said about it."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    def look(self, waiting: Mapping[str, int], now: float) -> str:
        """Return what is to be told, once for each time that a channel is left alone; "" when nothing is new.

        Parameters:
            waiting: how many messages wait in each channel that has some and no reader.
            now: the time.
        """
        self._since = {name: self._since.get(name, now) for name in waiting}
        self._told.intersection_update(waiting)
        late = [name for name, since in sorted(self._since.items()) if now - since >= PATIENCE]
        news = [name for name in late if name not in self._told]
        self._told.update(news)
        named = ", ".join(f"{name} ({waiting[name]})" for name in news[:MOST_NAMED])
        more = len(news) - MOST_NAMED
        return f"{named} and {more} more channels" if more > 0 else named
