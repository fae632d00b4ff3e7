"""How a line to the hub begins, seen from a client: whom it calls, what it says first, and what may be answered.

`meeting` does it, for the line of a process (`line`) and that of an inbox (`inbox`).
"""

import os
import socket
import struct
import sys

from fairway.errors import LayerUnavailable
from fairway.layers.hub.address import check_folder
from fairway.wire.hub import MAGIC, VERSIONS, Frame, Hello, Refusal, Welcome

HELLO_TIMEOUT = 5.0
"""A hub that has not greeted for so long is taken for dead."""


class HubRefuses(LayerUnavailable):
    """There is a hub, and it does not want this client."""


def dial(path: str) -> socket.socket:
    """Return a socket that is connected to a hub. Its timeout is that of a hello.

    Raises:
        LayerUnavailable: nobody listens there.
    """
    check_folder(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A socket with a timeout of Python's would not wait for a place in the hub's queue, and fail at once.
        limit_sends(made, HELLO_TIMEOUT)
        made.connect(path)
        made.settimeout(HELLO_TIMEOUT)
    except OSError as error:
        made.close()
        if isinstance(error, PermissionError):
            remedy = "run as the user of `fairway serve`, or share the socket with a group (?mode=0660&group=NAME)"
            msg = f"the hub at {path} is not open to this user ({error.strerror}); {remedy}"
        else:
            remedy = "start `fairway serve` or `fairway up`, or correct the path of the layer"
            msg = f"no hub answers at {path} ({error.strerror or error}); {remedy}"
        raise LayerUnavailable(msg) from error
    return made


def limit_sends(made: socket.socket, seconds: float) -> None:
    """Bound how long a blocking socket waits for its peer, to be connected or to take something."""
    if sys.platform != "win32":
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(seconds), 0))


def hello(versions: tuple[int, int] = VERSIONS) -> Hello:
    """Return a client's first frame."""
    name = os.path.basename(sys.argv[0]) if sys.argv else ""  # noqa: PTH119
    return Hello(MAGIC, *versions, f"{name or 'python'}[{os.getpid()}]")


def check_welcome(frame: Frame, path: str) -> Welcome:
    """Return the hub's first frame, if it is a welcome.

    Raises:
        HubRefuses: it is not.
    """
    if isinstance(frame, Welcome):
        return frame
    reason = frame.reason if isinstance(frame, Refusal) else f"it said {type(frame).__name__}"
    msg = f"the hub at {path} refuses this client: {reason}"
    raise HubRefuses(msg)
