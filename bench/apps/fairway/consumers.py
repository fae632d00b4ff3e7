"""The consumers in the idiom of Fairway: the same work as in `bench/apps/channels4`, all of it synchronous."""

from __future__ import annotations

import os
import socket
import time
from functools import cache
from typing import Any

from bench.plan import HOLD_SOCKET, LATER_SOCKET, SLOW_SECONDS
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


def hold(message: Any) -> None:
    """Say who has begun this message; the first to do so holds it until it is killed."""
    report = f"{os.getpid()} {message.attempt} {time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(report.encode(), os.path.join(os.environ["BENCH_FOLDER"], HOLD_SOCKET))  # noqa: PTH118
    if message.attempt == 1:
        time.sleep(60)
    message.reply_channel.send({"text": message["text"]})


def arrive(message: Any) -> None:
    """Say when a message came that was sent for later."""
    _arrivals().send(f"{message['number']} {time.time_ns()}".encode())


@cache
def _arrivals() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.connect(os.path.join(os.environ["BENCH_FOLDER"], LATER_SOCKET))  # noqa: PTH118
    return sock
