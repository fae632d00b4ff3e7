"""What is due out of the table: sent, and only then deleted."""

from datetime import timedelta

import pytest
from django.db import connections, transaction
from django.utils import timezone

from fairway.delay.limits import DelayLimits
from fairway.delay.models import DelayedMessage
from fairway.delay.sending import Sender
from fairway.errors import LayerUnavailable
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits, ChannelRule
from tests.delay.harness import Ears, in_thread

MINUTE = 60_000


def keep(n, delay=-1, channel="reports", **more):
    row = DelayedMessage(channel_name=channel, content={"n": n}, delay=delay, **more)
    row.save()
    return row


def narrow(capacity):
    return MemoryLayer(BrokerLimits(rules=(("full*", ChannelRule(capacity=capacity)), ("*", ChannelRule()))))


class Flaky(MemoryLayer):
    """Can be reached so many times."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    def publish(self, effect, timeout=0):
        self.times -= 1
        if self.times < 0:
            raise LayerUnavailable("away")
        super().publish(effect, timeout)


@pytest.fixture
def sender(layer, database):
    return Sender(layer, "default", DelayLimits(batch=3, full_pause=0.02, full_channels=2))


def sender_to(layer, **limits):
    return Sender(layer, "default", DelayLimits(**{"full_pause": 60, **limits}))


def test_what_is_due_is_sent_and_deleted(sender, ears):
    keep(1)
    keep(2, MINUTE)
    assert sender.send_due() == 1
    assert ears.take() == {"n": 1}
    assert not ears.has_more()
    assert [row.content["n"] for row in DelayedMessage.objects.all()] == [2]
    assert sender.sent == 1


def test_a_batch_is_so_many_in_the_order_of_their_times(sender, ears):
    for n, delay in enumerate((-MINUTE, -5 * MINUTE, -5 * MINUTE, -9 * MINUTE)):
        keep(n, delay)
    assert [sender.send_due() for _ in range(3)] == [3, 1, 0]
    assert [ears.take()["n"] for _ in range(4)] == [3, 1, 2, 0]


def test_a_batch_is_so_many_bytes(layer, database):
    for n in range(5):
        DelayedMessage(channel_name="reports", content={"n": n, "raw": bytes(1000)}, delay=-1).save()
    assert sender_to(layer, batch_bytes=2000).send_due() == 2
    assert DelayedMessage.objects.count() == 3


def test_what_has_a_key_leaves_a_trace_that_goes_in_its_time(sender, ears, monkeypatch):
    keep(1, key="daily", reply_channel="a!b")
    assert sender.send_due() == 1
    row = DelayedMessage.objects.get()
    assert (row.body, row.reply_channel, row.key) == (None, "", "daily")
    assert sender.waiting() == (0, None)

    later = timezone.now() + timedelta(seconds=601)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert sender.send_due() == 1
    assert not DelayedMessage.objects.exists()
    assert ears.take() == {"n": 1}
    assert not ears.has_more()


def test_the_next_is_told(sender):
    assert sender.next_due() is None
    rows = [keep(n, delay) for n, delay in ((1, 2 * MINUTE), (2, MINUTE))]
    keep(3, 1, layer="other")
    assert sender.next_due() == rows[1].due_date
    keep(4, -MINUTE, key="sent")
    sender.send_due()
    assert sender.waiting() == (2, rows[1].due_date)  # a trace is none


def test_a_channel_without_room_is_left_alone_and_holds_up_no_other(database):
    layer = narrow(2)
    for n in range(4):
        keep(n, channel="full")
    keep(9, channel="reports")
    sender = sender_to(layer)

    assert sender.send_due() == 5
    assert Ears(layer, "reports").take() == {"n": 9}
    assert sender.next_due() is None
    assert sender.send_due() == 0
    assert sorted(row.content["n"] for row in DelayedMessage.objects.all()) == [2, 3]


def test_a_channel_without_room_is_tried_again_after_a_pause(sender, monkeypatch):
    layer = narrow(1)
    sender = sender_to(layer, full_pause=50)
    keep(1, channel="full")
    keep(2, channel="full")
    sender.send_due()
    again = sender.try_again_at()
    monkeypatch.setattr("time.monotonic", lambda: again)
    assert sender.try_again_at() is None
    ears = Ears(layer, "full")
    assert ears.take() == {"n": 1}
    sender.send_due()
    assert ears.take() == {"n": 2}


def test_of_many_channels_without_room_the_first_is_tried_again_sooner(database, caplog):
    layer = narrow(1)
    sender = sender_to(layer, full_channels=2)
    for n in range(8):
        keep(n, n - 100, channel=f"full{n % 4}")
    sender.send_due()
    assert sorted({row.channel_name for row in sender._rows("default")}) == ["full0", "full1"]
    assert "'full3' (1 delayed message): what is due there waits" in caplog.text


def test_channels_without_room_are_told_once_a_minute(database, caplog):
    sender = sender_to(narrow(1), full_pause=0)
    for n in range(3):
        keep(n, channel="full")
    for _ in range(3):
        sender.send_due()
    assert len(caplog.messages) == 1


def test_a_row_that_cannot_be_sent_stays_and_holds_up_no_other(sender, ears, caplog):
    wrong = keep(1, channel="no channel")
    keep(2, channel="no channel")
    keep(3)
    sender.send_due()
    assert ears.take() == {"n": 3}
    assert DelayedMessage.objects.count() == 2
    assert len(caplog.messages) == 1
    assert f"id {wrong.pk} cannot be sent, and stays in the table" in caplog.text


def test_what_was_sent_before_the_layer_went_away_is_deleted(database):
    layer = Flaky(2)
    sender = sender_to(layer)
    for n in range(4):
        keep(n)
    with pytest.raises(LayerUnavailable):
        sender.send_due()
    assert [row.content["n"] for row in DelayedMessage.objects.order_by("id")] == [2, 3]


def test_what_was_sent_before_a_server_died_is_not_sent_twice(sender, ears):
    """It was sent, and not deleted."""
    row = keep(1)
    sender._layer.publish(row.effect())
    sender.send_due()
    assert ears.take() == {"n": 1}
    assert not ears.has_more()


def test_what_was_asked_for_anew_meanwhile_stays(sqlite, layer):
    """There are no locks: between the look and the deletion another server may store a later request with its key."""
    keep(1, key="daily")

    class Busy(MemoryLayer):
        def publish(self, effect, timeout=0):
            DelayedMessage.objects.update(name="another")

    sender_to(Busy()).send_due()
    row = DelayedMessage.objects.get()
    assert (row.name, row.content) == ("another", {"n": 1})


def test_rows_that_another_server_holds_are_let_be(postgresql, layer, ears):
    sender = sender_to(layer)
    keep(1)
    keep(2)
    with transaction.atomic():
        held = DelayedMessage.objects.select_for_update().get(pk=DelayedMessage.objects.order_by("id")[0].pk)

        def send():
            try:
                assert sender.send_due() == 1
                assert sender.send_due() == 0
            finally:
                connections.close_all()

        in_thread(send).join(30)
        assert held.content == {"n": 1}
    assert ears.take() == {"n": 2}
    assert [row.content["n"] for row in DelayedMessage.objects.all()] == [1]


def test_a_batch_that_takes_long_is_cut(layer, database, ears):
    for n in range(3):
        keep(n)
    sender_to(layer, batch_time=-1).send_due()
    assert DelayedMessage.objects.count() == 3
    sender_to(layer).send_due()
    assert [ears.take()["n"] for _ in range(3)] == [0, 1, 2]
