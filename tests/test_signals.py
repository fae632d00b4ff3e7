"""The signals a project may listen to; what sends them is tested with `application` and `devserver`."""

from django.dispatch import Signal

from fairway import signals


def test_names():
    for name in ("consumer_started", "consumer_finished", "worker_ready", "worker_process_ready"):
        assert isinstance(getattr(signals, name), Signal)
