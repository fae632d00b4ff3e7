"""The log of a process that `fairway` runs: one line each, with time, level, process and message, to standard error."""

import logging
import os
import sys

LEVELS = ("debug", "info", "warning", "error")


def configure_logging(level: str, name: str) -> None:
    """Send the log to standard error.

    Parameters:
        level: one of `LEVELS`.
        name: what this process is called in each line.
    """
    logging.basicConfig(level=level.upper(), handlers=[make_handler(name)], force=True)
    logging.captureWarnings(capture=True)


def make_handler(name: str) -> logging.Handler:
    """Return what writes our lines to standard error. Parameters: what this process is called in each line."""
    # A `%` in the name would be taken for a field.
    name = name.replace("%", "%%")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)-7s {name}[{os.getpid()}]: %(message)s"))
    return handler
