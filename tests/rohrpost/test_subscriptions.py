"""`subscribe` and `unsubscribe`: a client joins a group, if the application lets it."""

import logging
from typing import TypedDict

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied

from fairway import Group
from fairway.errors import LayerUnavailable
from fairway.rohrpost import subscriptions
from fairway.rohrpost.message import send_to_group
from fairway.rohrpost.registry import HANDLERS
from fairway.rohrpost.subscriptions import LONGEST_ID, MOST, rohrpost_subscription
from fairway.rohrpost.sync_consumer import SyncRohrpostConsumer
from fairway.testing import WSClient

ARTICLE = {"type": "article", "id": 5}
SUBSCRIBED = {"id": 1, "type": "subscribe", "data": {"group": "article-5", "type": "article", "id": 5}}
NO = {"id": 1, "type": "subscribe", "error": "You may not subscribe to 'article'."}


def allow(kind="article", answer=True):
    return rohrpost_subscription(kind)(lambda consumer, data: answer)


def test_nothing_may_be_subscribed_to_before_somebody_says_so(socket, caplog):
    assert socket.ask("subscribe", ARTICLE) == NO
    assert socket.client.groups == set()
    assert caplog.records == []


def test_who_subscribes_hears(socket):
    allow()
    assert socket.ask("subscribe", ARTICLE) == SUBSCRIBED
    send_to_group("article-5", {"news": 1})
    assert socket.heard() == [{"news": 1}]

    answer = socket.ask("unsubscribe", ARTICLE, 2)
    assert answer == {"id": 2, "type": "unsubscribe", "data": SUBSCRIBED["data"]}
    send_to_group("article-5", {"news": 2})
    assert socket.heard() == []
    assert socket.client.groups == set()


def test_the_permission_is_asked_with_the_consumer_and_the_data(socket):
    asked = []

    @rohrpost_subscription("article")
    def may_read(*, consumer, data):
        asked.append((type(consumer), consumer.user.is_anonymous, data))
        return True

    wanted = {**ARTICLE, "more": [1]}
    assert socket.ask("subscribe", wanted, auth_jwt="token") == SUBSCRIBED
    assert asked == [(SyncRohrpostConsumer, True, wanted)]


@pytest.mark.parametrize("is_coroutine", [False, True])
@pytest.mark.parametrize(
    ("answer", "group"),
    [(True, "article-5"), ("other", "other"), (False, None), (None, None), ("", None), (0, None), ([], None)],
)
def test_what_a_permission_may_say(socket, answer, group, is_coroutine):
    @rohrpost_subscription("article")
    def blocking(consumer, data):
        return answer

    async def coroutine(consumer, data):
        return answer

    if is_coroutine:
        subscriptions.SUBSCRIPTIONS["article"] = coroutine
    said = socket.ask("subscribe", ARTICLE)
    assert said == (NO if group is None else {**SUBSCRIBED, "data": {**SUBSCRIBED["data"], "group": group}})
    assert socket.client.groups == ({group} - {None})


@pytest.mark.parametrize("refusal", [PermissionDenied, get_user_model().DoesNotExist])
def test_what_a_permission_may_raise(socket, refusal, caplog):
    @rohrpost_subscription("article")
    def may_read(consumer, data):
        raise refusal

    assert socket.ask("subscribe", ARTICLE) == NO
    assert caplog.records == []


@pytest.mark.parametrize("answer", [1, object(), [5], {"group": "x"}])
def test_what_is_no_answer_is_a_mistake_and_no_yes(socket, answer, caplog):
    allow(answer=answer)
    assert socket.ask("subscribe", ARTICLE)["error"] == "The handler of 'subscribe' failed."
    assert "who may subscribe to 'article' is True, False or the name of a group, not" in caplog.text
    assert socket.client.groups == set()


def test_a_permission_that_fails_is_a_no(socket, caplog):
    @rohrpost_subscription("article")
    def may_read(consumer, data):
        raise ZeroDivisionError

    assert socket.ask("subscribe", ARTICLE)["error"] == "The handler of 'subscribe' failed."
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert socket.client.groups == set()


class Reference(TypedDict):
    id: int


def test_a_permission_may_declare_its_data(socket, caplog):
    asked = []

    @rohrpost_subscription("article")
    def may_read(consumer, data: Reference):
        asked.append(data)
        return True

    assert socket.ask("subscribe", ARTICLE) == SUBSCRIBED
    assert socket.ask("subscribe", {"type": "article", "id": "x"})["error"] == (
        "Invalid data: Expected `int`, got `str` - at `$.id`"
    )
    assert asked == [{"id": 5}]
    assert caplog.records == []


THINGS = [
    ...,
    None,
    5,
    "article",
    [],
    {},
    {"type": "article"},
    {"id": 5},
    {"type": None, "id": 5},
    {"type": ["article"], "id": 5},
    {"type": "article", "id": None},
    {"type": "article", "id": True},
    {"type": "article", "id": [5]},
    {"type": "article", "id": {"a": 1}},
    {"type": "article", "id": 2**63},
    {"type": "article", "id": -(10**100)},
    {"type": "article", "id": "x" * (LONGEST_ID + 1)},
]


@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize("data", THINGS, ids=lambda data: repr(data)[:30])
def test_what_is_no_thing_is_answered(socket, kind, data, caplog):
    allow()
    answer = socket.ask(kind, data)
    assert (answer["id"], answer["type"], sorted(answer)) == (1, kind, ["error", "id", "type"])
    assert answer["error"].endswith(
        {
            "subscribe": "needs data with a 'type' (a text) and an 'id' (a text or a number).",
            "unsubscribe": "takes data with the 'type' and the 'id' of the subscription.",
        }[kind]
    )
    assert caplog.records == []
    assert socket.lives()


@pytest.mark.parametrize("name", [0, -1, 2**63 - 1, 1.5, "", "x" * LONGEST_ID, "ä", "a b/c"])
def test_what_an_id_may_be(socket, name):
    allow()
    assert socket.ask("subscribe", {"type": "article", "id": name})["data"]["id"] == name
    assert socket.client.groups == {f"article-{name}"}
    assert socket.ask("unsubscribe", {"type": "article", "id": name})["data"]["id"] == name
    assert socket.client.groups == set()


def test_a_group_whose_name_is_too_long_cannot_be_joined(socket, caplog):
    kind = "x" * 100
    allow(kind)
    answer = socket.ask("subscribe", {"type": kind, "id": "y" * LONGEST_ID})
    assert answer["error"] == f"You may not subscribe to '{kind}'."
    assert caplog.records == []


def test_a_refusal_repeats_no_more_than_is_of_use(socket):
    assert len(socket.ask("subscribe", {"type": "x" * 100_000, "id": 1})["error"]) < 200


def test_to_unsubscribe_needs_no_subscription(socket):
    answer = socket.ask("unsubscribe", ARTICLE)
    assert answer == {"id": 1, "type": "unsubscribe", "data": ARTICLE}


def test_to_subscribe_again_changes_nothing(socket):
    allow()
    assert [socket.ask("subscribe", ARTICLE) for _ in range(3)] == [SUBSCRIBED] * 3
    send_to_group("article-5", {"news": 1})
    assert socket.heard() == [{"news": 1}]
    socket.ask("unsubscribe", ARTICLE)
    assert socket.client.groups == set()


def test_permission_is_asked_again_and_may_lead_elsewhere(socket):
    answers = ["one", "two", "two", None]
    rohrpost_subscription("article")(lambda consumer, data: answers.pop(0))
    groups = []
    for _ in range(4):
        socket.ask("subscribe", ARTICLE)
        groups.append(socket.client.groups)
    assert groups == [{"one"}, {"two"}, {"two"}, {"two"}]
    assert socket.ask("unsubscribe", ARTICLE)["data"]["group"] == "two"
    assert socket.client.groups == set()


def test_a_group_is_left_with_the_last_subscription_that_leads_there(socket):
    allow("article", "news")
    allow("comment", "news")
    socket.ask("subscribe", ARTICLE)
    socket.ask("subscribe", {"type": "comment", "id": 5})
    socket.ask("unsubscribe", ARTICLE)
    assert socket.client.groups == {"news"}
    socket.ask("unsubscribe", {"type": "comment", "id": 5})
    assert socket.client.groups == set()


def test_subscriptions_end_with_the_connection(socket):
    allow()
    socket.ask("subscribe", ARTICLE)
    socket.client.disconnect()
    assert Group("article-5").channels() == []
    socket.client.connect("/")
    assert "group" not in socket.ask("unsubscribe", ARTICLE)["data"]


def test_there_is_a_most_of_them(socket, monkeypatch):
    monkeypatch.setattr(subscriptions, "MOST", 3)
    allow()
    for number in range(3):
        assert "data" in socket.ask("subscribe", {"type": "article", "id": number})
    answer = socket.ask("subscribe", {"type": "article", "id": 3})
    assert answer["error"] == "This connection has as many subscriptions as it can keep."
    assert "data" in socket.ask("subscribe", {"type": "article", "id": 0})
    assert len(socket.client.groups) == 3
    socket.ask("unsubscribe", {"type": "article", "id": 0})
    assert "data" in socket.ask("subscribe", {"type": "article", "id": 3})


def test_and_no_more_than_the_state_holds(socket, caplog):
    allow()
    for number in range(MOST):
        answer = socket.ask("subscribe", {"type": "article", "id": f"{number:0{LONGEST_ID}}"})
        if "error" in answer:
            break
    assert answer["error"] == "This connection has as many subscriptions as it can keep."
    assert len(socket.client.groups) == len(socket.client.state[subscriptions.KEPT]) == number > 100
    assert caplog.records == []
    assert socket.lives()


def test_a_group_that_the_layer_refuses_is_not_subscribed_to(socket, channel_layer, monkeypatch):
    def refuse(*args):
        raise LayerUnavailable("gone")

    allow()
    with monkeypatch.context() as patch:
        patch.setattr(channel_layer, "group_add", refuse)
        assert "error" in socket.ask("subscribe", ARTICLE)
    assert "group" not in socket.ask("unsubscribe", ARTICLE)["data"]
    assert socket.ask("subscribe", ARTICLE) == SUBSCRIBED


def test_a_type_has_one_permission(socket):
    allow()
    with pytest.raises(ValueError, match=r'^Permission for subscriptions to "article" is already defined'):
        allow()


def test_they_are_handlers_as_others():
    assert HANDLERS["subscribe"] is subscriptions.handle_subscribe
    assert HANDLERS["unsubscribe"] is subscriptions.handle_unsubscribe


def test_in_a_consumer_that_is_a_coroutine(connect):
    class Consumer(SyncRohrpostConsumer):
        async def receive(self, text_data=None, bytes_data=None):
            await super().receive(text_data, bytes_data)

    @rohrpost_subscription("article")
    async def may_read(consumer, data):
        return True

    socket = connect(Consumer)
    assert socket.ask("subscribe", ARTICLE) == SUBSCRIBED
    assert socket.client.groups == {"article-5"}


def test_who_is_logged_in_decides(connect, transactional_db):
    @rohrpost_subscription("article")
    def may_read(consumer, data):
        return consumer.user.is_staff

    client = WSClient()
    client.force_login(get_user_model().objects.create_user("ada", is_staff=True))
    assert connect(client=client).ask("subscribe", ARTICLE) == SUBSCRIBED
    assert connect().ask("subscribe", ARTICLE) == NO
