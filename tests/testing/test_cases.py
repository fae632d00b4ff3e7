import unittest

import pytest
from django.contrib.auth.models import Group as UserGroup
from django.db import transaction
from django.test import override_settings

from fairway import Channel, channel_layers
from fairway.errors import InvalidLayerSetting
from fairway.layers.memory import MemoryLayer
from fairway.routing import route
from fairway.testing import ChannelTestCase, Client, TransactionChannelTestCase, apply_routes
from fairway.testing.cases import AroundTest, ChannelTestCaseMixin
from fairway.worker.outbox import current_outbox

LOCAL = {"BACKEND": "fairway.layers.LocalLayer", "ROUTING": "tests.testing.test_cases.ROUTING"}


def answer(message):
    message.reply_channel.send({"n": message["n"]})


ROUTING = [route("from-setting", answer)]


class Both:
    """What holds for both kinds of cases."""

    test_channel_aliases = ("default", "other")
    seen = set()

    def setUp(self):
        Channel("set-up").send({"n": 1})

    def test_each_alias_has_a_layer_of_the_test(self):
        assert [type(channel_layers[alias]) for alias in ("default", "other")] == [MemoryLayer, MemoryLayer]
        assert channel_layers["default"] is not channel_layers["other"]

    def test_one_test_sees_nothing_of_another(self):
        assert self.get_next_message("leftover") is None
        Channel("leftover").send({})

    test_one_test_sees_nothing_of_yet_another = test_one_test_sees_nothing_of_another

    def test_what_setup_sends_is_there_though_it_calls_no_super(self):
        assert self.get_next_message("set-up", require=True).content == {"n": 1}

    def test_the_routing_of_the_setting_holds(self):
        client = Client()
        client.send_and_consume("from-setting", {"n": 2})
        assert client.receive() == {"n": 2}

    def test_messages_of_another_alias_are_apart(self):
        Channel("a", alias="other").send({"n": 1})
        assert self.get_next_message("a") is None
        assert self.get_next_message("a", alias="other")["n"] == 1

    def test_a_message_that_is_required_and_missing_fails(self):
        with pytest.raises(AssertionError, match="expected a message on the channel 'a'"):
            self.get_next_message("a", require=True)

    def test_the_reply_channel_of_a_client_is_looked_at_too(self):
        client = Client()
        client.send_and_consume("from-setting", {"n": 2})
        assert self.get_next_message(client.reply_channel).content == {"n": 2}
        assert self.get_next_message(client.reply_channel) is None

    def test_a_changed_setting_reaches_no_real_layer_either(self):
        with override_settings(CHANNEL_LAYERS={"default": {**LOCAL, "ROUTING": []}}):
            assert type(channel_layers["default"]) is MemoryLayer
            assert Client().get_consumer_by_channel("from-setting") is None
        assert type(channel_layers["default"]) is MemoryLayer
        assert Client().get_consumer_by_channel("from-setting") is answer

    async def test_a_coroutine_test_has_the_layers_too(self):
        client = Client()
        await client.asend_and_consume("from-setting", {"n": 2})
        assert await client.areceive() == {"n": 2}

    def test_the_orm_works_in_coroutine_consumers(self):
        async def create(message):
            await UserGroup.objects.acreate(name="made in a coroutine")

        with apply_routes(route("create", create)):
            Client().send_and_consume("create")
        assert UserGroup.objects.get().name == "made in a coroutine"

    async def test_the_orm_works_in_blocking_consumers_of_a_coroutine_test(self):
        def create(message):
            UserGroup.objects.create(name="made in a thread")

        with apply_routes(route("create", create)):
            await Client().asend_and_consume("create")
        assert await UserGroup.objects.acount() == 1

    def test_queries_of_a_consumer_are_counted(self):
        def create(message):
            UserGroup.objects.create(name="counted")

        with apply_routes(route("create", create)), self.assertNumQueries(1):
            Client().send_and_consume("create")


@override_settings(CHANNEL_LAYERS={"default": LOCAL, "other": LOCAL})
class ChannelTests(Both, ChannelTestCase):
    @classmethod
    def setUpTestData(cls):
        Channel("test-data").send({})
        cls.in_test_data = type(channel_layers["default"])

    def test_what_setuptestdata_sends_reaches_no_real_layer(self):
        assert self.in_test_data is MemoryLayer
        assert self.get_next_message("test-data") is None

    def test_what_waits_for_a_commit_is_sent_when_a_client_looks(self):
        client = Client()
        with transaction.atomic():
            transaction.on_commit(lambda: Channel(client.reply_channel).send({"n": 1}))
            assert client.receive() is None
        assert client.receive() == {"n": 1}
        assert client.receive() is None

    def test_what_was_rolled_back_is_never_sent(self):
        client = Client()
        with transaction.atomic():
            transaction.on_commit(lambda: Channel(client.reply_channel).send({"n": 1}))
            transaction.set_rollback(True)
        assert client.receive() is None

    def test_what_a_consumer_does_on_commit_is_in_its_outbox(self):
        outboxes = []

        def save(message):
            with transaction.atomic():
                transaction.on_commit(lambda: outboxes.append(current_outbox.get()))
            outboxes.append(current_outbox.get())

        with apply_routes(route("save", save)):
            Client().send_and_consume("save")
        assert outboxes[0] is not None
        assert outboxes[0] is outboxes[1]

    def test_captured_hooks_run_once(self):
        runs = []
        client = Client()
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            transaction.on_commit(lambda: runs.append(1))
        client.receive()
        assert (len(callbacks), runs) == (1, [1])


@override_settings(CHANNEL_LAYERS={"default": LOCAL, "other": LOCAL})
class TransactionChannelTests(Both, TransactionChannelTestCase):
    def test_what_waits_for_a_commit_is_sent_by_the_commit(self):
        client = Client()
        with transaction.atomic():
            transaction.on_commit(lambda: Channel(client.reply_channel).send({"n": 1}))
        assert client.receive() == {"n": 1}


class NoLayers(ChannelTestCase):
    def test_no_setting_is_needed(self):
        client = Client()
        with apply_routes(route("input", answer)):
            client.send_and_consume("input", {"n": 1})
        assert client.receive() == {"n": 1}


class ChannelTestCaseWithoutDatabase(ChannelTestCaseMixin, unittest.TestCase):
    """Only what the mixin adds."""

    __test__ = False


def run(case):
    """Run a test as unittest does; return its result."""
    result = unittest.TestResult()
    case.run(result)
    return result


@override_settings(CHANNEL_LAYERS={"default": LOCAL})
def test_after_a_test_everything_is_as_it_was():
    class Case(ChannelTestCaseWithoutDatabase):
        def test(self):
            seen.append(channel_layers["default"])

    seen = []
    real = MemoryLayer()
    channel_layers.set("default", real)
    case = Case("test")
    assert run(case).wasSuccessful()
    case.debug()
    assert channel_layers.set("default", None) is real
    assert [layer.closed for layer in seen] == [True, True]
    assert not real.closed
    assert "setUp" not in vars(case)


def test_an_alias_that_is_not_configured_is_an_error_of_the_test():
    class Case(ChannelTestCaseWithoutDatabase):
        test_channel_aliases = ("defualt",)

        def test(self):
            raise AssertionError

    with override_settings(CHANNEL_LAYERS={"default": LOCAL}):
        result = run(Case("test"))
        assert "test_channel_aliases names 'defualt', and CHANNEL_LAYERS has only 'default'" in result.errors[0][1]
        with pytest.raises(InvalidLayerSetting):
            Case("test").debug()


def test_layers_are_put_back_when_somebody_interrupts_a_test():
    class Case(ChannelTestCaseWithoutDatabase):
        def test(self):
            raise KeyboardInterrupt

    with override_settings(CHANNEL_LAYERS={"default": LOCAL}):
        real = MemoryLayer()
        channel_layers.set("default", real)
        with pytest.raises(KeyboardInterrupt):
            run(Case("test"))
        assert channel_layers.set("default", None) is real


def test_a_case_says_what_is_around_its_tests():
    class Case(AroundTest, unittest.TestCase):
        __test__ = False

        def test(self):
            raise AssertionError

    assert "NotImplementedError" in run(Case("test")).errors[0][1]
