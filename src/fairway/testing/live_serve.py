"""The interface server of a live server: `fairway serve`, that ends with the test run however that ends. No Django."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fairway.layers.hub.address import parse_url
from fairway.supervisor.logs import configure_logging
from fairway.supervisor.notify import Notifier
from fairway.supervisor.options import server_parser
from fairway.supervisor.serve import run_server

LEAVE_WAIT = 5.0
"""Seconds from SIGTERM until the process is ended by force, when the test run is gone."""


def main(arguments: Sequence[str]) -> int:
    """Serve as the options of `fairway serve` say; return the exit code.

    Parameters:
        arguments: the options. The folder of the layer's socket is ours, and is removed with us when nobody else can.
    """
    given = server_parser().parse_args(arguments)
    configure_logging(given.log_level, given.name)
    folder = Path(parse_url(given.layer).path).parent
    # From a copy: the server itself wants to find the line too.
    Notifier(dict(os.environ)).when_supervisor_dies(lambda: _end(folder))
    return run_server(given)


def _end(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LEAVE_WAIT)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
