"""What the consumers of the project leave behind: a line for each run, written whatever becomes of the process.

A line is `channel id retries attempt process time`. One write to a file opened for appending is whole or not there,
and what is written outlives a `kill -9`.
"""

import os
import time
from pathlib import Path

FOLDER = Path(os.environ["SITE"])
_runs = os.open(FOLDER / "runs", os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(channel: str, name: str, retries: int, attempt: int) -> None:
    """Record that a consumer has begun."""
    os.write(_runs, f"{channel} {name} {retries} {attempt} {os.getpid()} {time.monotonic():.6f}\n".encode())


def hold(name: str) -> None:
    """Do not go on while a file of that name stands in the folder."""
    while (FOLDER / name).exists():
        time.sleep(0.005)
