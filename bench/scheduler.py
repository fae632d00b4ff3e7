"""A process that schedules messages: ``python -m bench.scheduler DESCRIPTOR``.

What it shall schedule comes as lines of JSON over the socket DESCRIPTOR; it answers each line when that is done. It
sends one message after the other, each when the layer has taken the one before, as a web request or a cron job would.
"""

from __future__ import annotations

import json
import random
import socket
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import django

from bench.payloads import message_text
from bench.plan import LATER_CHANNEL, SMALL

TIMEOUT = 20.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def main(descriptor: int) -> None:
    """Serve orders until the other side hangs up."""
    django.setup()
    with socket.socket(fileno=descriptor) as sock, sock.makefile("rw") as lines:
        for line in lines:
            print(json.dumps(schedule(**json.loads(line))), file=lines, flush=True)


def schedule(first: int, count: int, due: int, spread: int) -> list[int]:
    """Schedule so many messages, numbered from `first`, due at `due` or up to `spread` milliseconds later.

    Returns:
        When each of them is due, in milliseconds since the epoch.
    """
    from fairway import Channel

    channel, rng = Channel(LATER_CHANNEL), random.Random(first)
    times = [due + (rng.randrange(spread) if spread else 0) for _ in range(count)]
    for number, time in enumerate(times, first):
        content: dict[str, Any] = {"number": number, "text": message_text(SMALL)}
        channel.send(content, timeout=TIMEOUT, at=EPOCH + timedelta(milliseconds=time))
    return times


if __name__ == "__main__":
    main(int(sys.argv[1]))
