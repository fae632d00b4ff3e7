"""A load whose sockets are those of another process: a process may not have open what two crowds need.

The other process is forked, opens the sockets, and then does what it is told over a pipe. It runs on the same core as
this one, which waits meanwhile.
"""

from __future__ import annotations

import multiprocessing
from contextlib import closing
from multiprocessing.connection import Connection as Pipe
from typing import Any

from bench.client import connections
from bench.errors import BenchError
from bench.loads import FanOut, Tally, steady
from bench.plan import Shape, paths

OPEN_TIMEOUT = 120.0
TIMEOUT = 60.0


class RemoteLoad:
    """A fan-out that another process drives; it has the face of a `Load`."""

    deflated = False

    def __init__(self, shape: Shape, ports: list[int]) -> None:
        """Open the sockets."""
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_drive, args=(theirs, shape, ports), daemon=True)
        self._process.start()
        theirs.close()
        self.idle = 0.0
        try:
            self._answer(OPEN_TIMEOUT)
        except BaseException:
            self._process.kill()
            raise

    def run(self, seconds: float) -> Tally:
        """Drive the loop for so long."""
        tally, self.idle = self._ask("run", seconds)
        return tally

    def check_silence(self) -> None:
        """Raise when something arrives that nobody sent."""
        self._ask("check_silence")

    def close(self) -> None:
        """Close the sockets and end the other process."""
        try:
            if self._process.is_alive():
                self._ask("close")
        finally:
            self._process.join(1)
            self._process.kill()
            self._pipe.close()

    def _ask(self, what: str, *arguments: float) -> Any:
        self._pipe.send((what, arguments))
        return self._answer(TIMEOUT)

    def _answer(self, timeout: float) -> Any:
        if not self._pipe.poll(timeout):
            raise BenchError(f"the client with the crowd says nothing for {timeout:g} s")
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise BenchError("the client with the crowd is gone") from None
        if isinstance(answer, Exception):
            raise BenchError(str(answer))
        return answer


def _drive(pipe: Pipe, shape: Shape, ports: list[int]) -> None:
    """Do in the other process what is asked, until it is closed."""
    try:
        with connections(ports, paths(shape)) as opened, closing(FanOut(shape, opened)) as load:
            pipe.send(None)
            while True:
                what, arguments = pipe.recv()
                if what == "close":
                    break
                if what == "run":
                    with steady():
                        tally = load.run(*arguments)
                    pipe.send((tally, load.idle))
                else:
                    load.check_silence()
                    pipe.send(None)
        pipe.send(None)
    except (BenchError, OSError, ValueError) as error:
        pipe.send(error)
    except (EOFError, KeyboardInterrupt):
        pass
