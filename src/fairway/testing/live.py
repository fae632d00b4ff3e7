"""A test case with a live server: for tests that drive a browser, or any other client, against the whole project."""

from contextlib import ExitStack

from django.test import TransactionTestCase

from fairway.testing.cases import AroundTest
from fairway.testing.live_server import LiveServer, StartMethod


class ChannelLiveServerTestCase(AroundTest, TransactionTestCase):
    """A `TransactionTestCase` with an interface server and a worker, in processes of their own, for each test.

    They use the test's databases, and the settings as they are overridden when a test begins. What a consumer raises
    in the worker fails the test, with the traceback from there.
    """

    host = "localhost"
    """Where the server listens."""

    worker_threads = 1
    """Blocking consumers that run at once."""

    serve_static = True
    """Serve static files as `runserver` does, where `django.contrib.staticfiles` is installed."""

    worker_start_method: StartMethod = "spawn"
    """"spawn" starts the worker from nothing; "fork" makes a copy of the test process, which is quicker, and takes
    settings that cannot be pickled, but is no good for a process with threads."""

    live_server: LiveServer

    @property
    def live_server_url(self) -> str:
        """Where the server answers, such as `http://localhost:40001`."""
        return self.live_server.url

    @property
    def live_server_ws_url(self) -> str:
        """The same for WebSockets: `ws://localhost:40001`."""
        return self.live_server.ws_url

    def take_worker_errors(self) -> list[str]:
        """Return what consumers raised since the last call, each with its traceback; it fails the test no more."""
        return self.live_server.take_errors()

    def enter_around(self, stack: ExitStack) -> None:
        """Start the processes.

        Raises:
            ImproperlyConfigured, StartFailed: see `LiveServer`.
        """
        self.live_server = LiveServer(
            host=self.host,
            worker_threads=self.worker_threads,
            serve_static=self.serve_static,
            start_method=self.worker_start_method,
        )
        stack.enter_context(self.live_server)
