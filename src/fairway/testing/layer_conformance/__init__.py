"""The contract of a channel layer as a test suite, for any layer.

Subclass it in a test module that pytest collects, and give it your layer::

    from fairway.testing.layer_conformance import LayerConformance

    class TestMyLayer(LayerConformance):
        def make_layer(self, limits):
            return MyLayer(limits=limits)

Each test runs in three forms: the blocking verbs in threads, the `a` verbs on plain asyncio, and on uvloop where it is
installed. What a layer cannot promise it declares (`atomic_across_queues = False`), and the tests that need it are
skipped aloud. Nothing here sleeps for a guessed time: tests wait for a condition with a deadline.
"""

from fairway.testing.layer_conformance.base import ConformanceBase, Form, Owner
from fairway.testing.layer_conformance.cancellation import CancellationConformance
from fairway.testing.layer_conformance.commits import CommitConformance
from fairway.testing.layer_conformance.concurrency import ConcurrencyConformance
from fairway.testing.layer_conformance.groups import GroupConformance
from fairway.testing.layer_conformance.inboxes import InboxConformance
from fairway.testing.layer_conformance.readers import ReaderConformance
from fairway.testing.layer_conformance.recovery import RecoveryConformance
from fairway.testing.layer_conformance.sending import SendingConformance
from fairway.testing.layer_conformance.windows import WindowConformance


class LayerConformance(
    SendingConformance,
    GroupConformance,
    InboxConformance,
    ReaderConformance,
    WindowConformance,
    CommitConformance,
    RecoveryConformance,
    CancellationConformance,
    ConcurrencyConformance,
):
    """The whole contract. Override `make_layer`, and what you must of the flags in `ConformanceBase`."""


__all__ = ["ConformanceBase", "Form", "LayerConformance", "Owner"]
