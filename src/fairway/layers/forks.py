"""Layers in forked processes: connections, threads and locks stay with the parent, so each layer starts anew."""

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """What a process has of its own, and a forked one has to forget."""

    def start_anew(self) -> None:
        """Forget it."""


_open: "weakref.WeakSet[Forked]" = weakref.WeakSet()


def at_fork(layer: Forked) -> None:
    """Have a layer start anew in processes that are forked from this one."""
    _open.add(layer)


def _start_anew() -> None:
    for layer in tuple(_open):
        layer.start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
