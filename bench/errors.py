"""What can go wrong in a benchmark: one error, whose text is meant for the person who runs it."""


class BenchError(Exception):
    """A measurement that must not count: a lost delivery, wrong contents, a server that died or stalled."""
