"""The states of a connection and what leads from one to another, as a table.

Nothing else changes the state; what happens in a state where the table has no entry for it changes nothing. It is the
table of the browser client without the state of a page that nobody looks at, and here `closed` is the end.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

State = Literal["new", "connecting", "open", "waiting", "closed"]
"""
* `new`: not begun yet.
* `connecting`: a socket is being opened.
* `open`: requests go out at once.
* `waiting`: for the next try.
* `closed`: for good.
"""

Happening = Literal["start", "opened", "lost", "ended", "due", "retry", "close"]
"""
* `start`, `retry`, `close`: what the application asks for.
* `opened`: the handshake is complete.
* `lost`: the socket is gone, or there was none, and one comes back after that; `ended`: one does not.
* `due`: the delay is over.
"""

TRANSITIONS: Mapping[State, Mapping[Happening, State]] = MappingProxyType(
    {
        "new": {"start": "connecting", "close": "closed"},
        "connecting": {"opened": "open", "lost": "waiting", "ended": "closed", "close": "closed"},
        "open": {"lost": "waiting", "ended": "closed", "close": "closed"},
        "waiting": {"due": "connecting", "retry": "connecting", "close": "closed"},
        "closed": {},
    }
)
