"""Layers in forked processes start anew, and in the parent nothing happens."""

import gc
import os

from fairway.layers import forks
from fairway.layers.forks import at_fork


class Counted:
    """Counts how often it had to start anew."""

    def __init__(self) -> None:
        self.count = 0

    def start_anew(self) -> None:
        self.count += 1


def test_only_the_child_starts_anew() -> None:
    layer = Counted()
    at_fork(layer)
    child = os.fork()
    if child == 0:
        os._exit(layer.count)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert layer.count == 0


def test_a_layer_that_nobody_has_any_more_is_forgotten() -> None:
    layer = Counted()
    at_fork(layer)
    assert layer in forks._open
    del layer
    gc.collect()
    assert not any(isinstance(known, Counted) for known in forks._open)
