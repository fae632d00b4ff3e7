"""Test cases in which each test has channel layers of its own, in the test's process."""

import unittest
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.test import TestCase, TransactionTestCase

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.message import Message
from fairway.testing.client import next_message
from fairway.testing.commit_hooks import drop_commit_hooks, run_commit_hooks
from fairway.testing.layers import PlacedLayers

if TYPE_CHECKING:
    Base = unittest.TestCase
else:
    Base = object


class AroundTest(Base):
    """A test case with something around each test, also around its `setUp` and `tearDown`, whoever overrides those.

    It does without Django's private hooks, which change from version to version.
    """

    def enter_around(self, stack: ExitStack) -> None:
        """Enter what is around a test: called before `setUp`. It is left after `tearDown` and the cleanups."""
        raise NotImplementedError

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Run the test."""
        with self._around():
            return super().run(result)

    def debug(self) -> None:
        """Run the test without collecting its errors."""
        with self._around():
            super().debug()

    @contextmanager
    def _around(self) -> Iterator[None]:
        set_up: Callable[[], None] = self.setUp
        stack = ExitStack()

        def enter_and_set_up() -> None:
            # A cleanup, so that what goes wrong on leaving is an error of this test.
            self.addCleanup(stack.close)
            self.enter_around(stack)
            set_up()

        self.setUp = enter_and_set_up  # type: ignore[method-assign]
        try:
            yield
        finally:
            del self.setUp
            stack.close()  # cleanups are skipped when somebody interrupts a test


class ChannelTestCaseMixin(AroundTest):
    """Puts a layer of its own in the place of each alias in `test_channel_aliases`: one for each test.

    What `setUpClass` and `setUpTestData` send goes to a layer that no test sees.
    """

    test_channel_aliases: Sequence[str] = (DEFAULT_CHANNEL_LAYER,)
    """Which layers are replaced."""

    @classmethod
    def setUpClass(cls) -> None:
        """Put the layers of the class in."""
        cls.enterClassContext(PlacedLayers(cls.test_channel_aliases, strict=False))
        super().setUpClass()

    def enter_around(self, stack: ExitStack) -> None:
        """Put the layers of the test in.

        Raises:
            InvalidLayerSetting: `test_channel_aliases` names one that there is not.
        """
        stack.enter_context(PlacedLayers(self.test_channel_aliases))

    def get_next_message(
        self,
        channel: str,
        alias: str = DEFAULT_CHANNEL_LAYER,
        require: bool = False,  # noqa: FBT001, FBT002  as it has always been
    ) -> Message | None:
        """Take the next message from a channel; None when there is none.

        Parameters:
            channel: its name, also the reply channel of a client.
            alias: the layer's.
            require: fail when there is none.
        """
        run_commit_hooks()
        message = next_message(channel, alias)
        if message is None and require:
            self.fail(f"expected a message on the channel {channel!r}, and there is none")
        return message


class ChannelTestCase(ChannelTestCaseMixin, TestCase):
    """A `TestCase` with layers of its own.

    What waits for a commit (`transaction.on_commit`) runs when a client sends, consumes or receives: the transaction of
    the test is never committed.
    """

    @classmethod
    @contextmanager
    def captureOnCommitCallbacks(  # noqa: N802  Django's name
        cls, *, using: str = DEFAULT_DB_ALIAS, execute: bool = False
    ) -> Iterator[list[Callable[[], Any]]]:
        """Do as Django's; what it has captured is its own business, and does not run again."""
        seen = len(connections[using].run_on_commit)
        with super().captureOnCommitCallbacks(using=using, execute=execute) as callbacks:
            yield callbacks
        drop_commit_hooks(using, seen)


class TransactionChannelTestCase(ChannelTestCaseMixin, TransactionTestCase):
    """A `TransactionTestCase` with layers of its own."""
