"""Start the server that other people's suites test: Fairway with a consumer that echoes."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import Program, free_port, running_python

ECHO = Path(__file__).with_name("echo_server.py")


@contextlib.contextmanager
def echo_server() -> Iterator[str]:
    """The address of an echo server. ``ECHO_URL`` names another one, to tell our faults from those of the harness."""
    if url := os.environ.get("ECHO_URL"):
        yield url
        return
    port = free_port()
    with running_python(ECHO, str(port), port=port) as program:
        yield f"ws://127.0.0.1:{port}"
        complain(program)


def complain(program: Program) -> None:
    """A server that has died, or written a traceback, has failed, whatever the suite thinks of its frames."""
    if program.process.poll() is not None or "Traceback" in program.output():
        raise AssertionError(f"the server says:\n{program.output()[-4000:]}")
