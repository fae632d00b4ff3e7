"""A delay server that is killed at one line of its code: `dying.py <hub> <database as JSON>`.

For each number that it reads it makes a process whose server kills itself at the line event of that number, and says
"killed"; "done", when the server had done its work before.
"""

# ruff: noqa: E402  Django is told its settings first
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import django
from django.conf import settings

settings.configure(
    DATABASES={"default": json.loads(sys.argv[2])}, INSTALLED_APPS=["fairway", "fairway.delay"], USE_TZ=True
)
django.setup()

from fairway.delay import server as room
from fairway.layers import LocalLayer
from tests.delay.harness import QUICK

ROOM = str(Path(room.__file__).parent)
REQUESTS, MESSAGES = 4, 2
"""What there is to do: so many requests, of which so many are messages that leave."""


def serve(last: int) -> None:
    """Work until the line event of that number, or until all is done."""
    server = room.DelayServer(LocalLayer(sys.argv[1]), limits=QUICK)
    lines = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.startswith(ROOM):
            return None
        lines += event == "line"
        if lines == last:
            os.kill(os.getpid(), signal.SIGKILL)
        if frame.f_code.co_name == "_take" and (server.stored, server.sent) >= (REQUESTS, MESSAGES):
            os._exit(0)
        return trace

    sys.settrace(trace)
    server.run()


for line in sys.stdin:
    child = os.fork()
    if not child:
        serve(int(line))
    _, status = os.waitpid(child, 0)
    print("killed" if status else "done", flush=True)
