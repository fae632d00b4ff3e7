"""The consumers in the idiom of Fairway: the same work as in `bench/apps/channels4`, all of it synchronous."""

from __future__ import annotations

import time
from typing import Any

from bench.plan import SLOW_SECONDS
from fairway import Group


def join(message: Any, group: str) -> None:
    """Add the connection to its group."""
    Group(group).add(message.reply_channel)
    message.reply_channel.send({"accept": True})


def publish(message: Any, group: str) -> None:
    """Send what a member says to its group."""
    Group(group).send({"text": message["text"]})


def leave(message: Any, group: str) -> None:
    """Take the connection out of its group."""
    Group(group).discard(message.reply_channel)


def accept(message: Any) -> None:
    """Open the socket."""
    message.reply_channel.send({"accept": True})


def echo(message: Any) -> None:
    """Send back what came."""
    message.reply_channel.send({"text": message["text"]})


def slow(message: Any) -> None:
    """Send back what came, after work that takes its time."""
    time.sleep(SLOW_SECONDS)
    message.reply_channel.send({"text": message["text"]})
