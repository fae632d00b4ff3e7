"""Signals around the work of a worker. Receivers take `**kwargs`."""

from django.dispatch import Signal

consumer_started = Signal()
"""Before each consumer. Sender: the worker class. `environ` is an empty dict."""

consumer_finished = Signal()
"""After each consumer, whatever happened. Sender: the worker class."""

worker_ready = Signal()
"""A worker has begun to take messages. Sender: the worker."""

worker_process_ready = Signal()
"""Once in each process that runs workers, before they begin. Sender: the worker."""
