"""What an error that Redis answers with means for whoever sent the command."""

import re
from enum import StrEnum
from typing import Final


class Trouble(StrEnum):
    """What to do about an error reply. Nothing was done by the command, unless it was a script that did some of it."""

    RECONNECT = "reconnect"
    """This server cannot do it, and another one may: `Nodes.refresh`, connect anew, send it again."""
    MOVED = "moved"
    """The keys live elsewhere in the Cluster: `Nodes.refresh`, and send it there, now and from now on."""
    WAIT = "wait"
    """The server will be able to do it in a moment: send it again after a pause."""
    FULL = "full"
    """Redis is out of memory, or cannot keep what it is told: sending fails until somebody makes room."""
    SCRIPT = "script"
    """The server does not have the script: load it, and send it again."""
    FORGOTTEN = "forgotten"
    """What the command builds upon is gone: Redis has lost its memory."""
    REFUSED = "refused"
    """The user may not do it: the settings are wrong, and trying again is of no use."""
    BUG = "bug"
    """None of these: a fault of the layer's."""


TROUBLES: Final[dict[str, Trouble]] = {
    "LOADING": Trouble.WAIT,
    "BUSY": Trouble.WAIT,
    "TRYAGAIN": Trouble.WAIT,
    "CLUSTERDOWN": Trouble.WAIT,
    "READONLY": Trouble.RECONNECT,
    "MASTERDOWN": Trouble.RECONNECT,
    "NOREPLICAS": Trouble.WAIT,
    "MOVED": Trouble.MOVED,
    # A slot is on its way. A script that followed would work on those keys of a shard that have arrived, beside the
    # others, so nobody follows: what is sent waits until the slot is there.
    "ASK": Trouble.WAIT,
    "OOM": Trouble.FULL,
    "MISCONF": Trouble.FULL,
    "NOSCRIPT": Trouble.SCRIPT,
    "NOGROUP": Trouble.FORGOTTEN,
    "UNBLOCKED": Trouble.FORGOTTEN,
    "NOAUTH": Trouble.REFUSED,
    "WRONGPASS": Trouble.REFUSED,
    "NOPERM": Trouble.REFUSED,
}
"""The first word of an error -> what it means."""

# Before 7.0 a script hides what it met: "ERR Error running script (…): @user_script:3: @user_script: 3: -OOM …".
_INSIDE: Final = re.compile(r"user_script: ?\d+: -([A-Z]+) ")


def code_of(error: Exception) -> str:
    """Return the word that says which error it is."""
    text = str(error)
    inside = _INSIDE.search(text)
    return inside[1] if inside else text.partition(" ")[0]


def trouble(error: Exception) -> Trouble:
    """Return what an error reply means."""
    code = code_of(error)
    if code == "UNBLOCKED" and "now a replica" in str(error):
        return Trouble.RECONNECT
    # "ERR max number of clients reached", "ERR Client sent AUTH, but no password is set", "ERR invalid password"
    text = str(error).lower()
    if code == "ERR" and "max number of clients" in text:
        return Trouble.WAIT
    if code == "ERR" and ("auth" in text.split() or "invalid password" in text):
        return Trouble.REFUSED
    return TROUBLES.get(code, Trouble.BUG)
