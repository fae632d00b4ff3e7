"""The pages about delayed messages: their code runs beside a delay server, and what they tell is so."""

import inspect
import re
from datetime import datetime, timedelta

import pytest
from django.core.management import CommandParser
from django.utils import timezone

from fairway import channel_layers, route
from fairway.delay.limits import DelayLimits
from fairway.delay.models import DelayedMessage
from fairway.delay.parsing import Request
from fairway.management.commands import rundelay
from fairway.testing import Client, apply_routes
from tests.support.pages import DOCS, run_page

PAGE = "how-to/delayed-messages.md"
REFERENCE = (DOCS / "reference" / "rundelay.md").read_text()

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []}}
    yield run_page(PAGE)
    channel_layers.clear()


@pytest.fixture
def client(page):
    names = ("order", "paid", "typed", "morning_report")
    routing = [route(name.replace("_report", "-reports"), page[name]) for name in names]
    with apply_routes(routing):
        yield Client()


def arrived(client, within):
    return [message.channel.name for message in client.deliver_delayed(within)]


def test_the_settings(page):
    assert page["INSTALLED_APPS"] == ["fairway", "fairway.delay"]


def test_an_order_that_nobody_pays(client):
    client.send_and_consume("order", {"order": 5})
    assert arrived(client, timedelta(minutes=49)) == []
    assert arrived(client, timedelta(minutes=51)) == ["reminders"]
    assert arrived(client, timedelta(days=8)) == ["cancellations", "surveys"]


def test_an_order_that_is_paid(client):
    client.send_and_consume("order", {"order": 5})
    client.send_and_consume("paid", {"order": 5})
    assert arrived(client, timedelta(days=8)) == ["reminders", "surveys"]


def test_a_document_is_indexed_once_its_author_pauses(client):
    for _ in range(3):
        client.send_and_consume("typed", {"document": "d7"})
    assert arrived(client, timedelta(seconds=11)) == ["index"]


def test_the_report_of_the_morning_goes_on(client, page):
    client.send_and_consume("morning-reports", {})
    assert arrived(client, timedelta(0)) == []
    due = timezone.localtime(DelayedMessage.objects.get().due_date)
    assert (due.hour, due.minute) == (7, 0)
    assert arrived(client, timedelta(days=2)) == ["morning-reports"]


def test_the_new_year(client, page):
    page["new_year"](timezone.now().year + 1)
    client.deliver_delayed()
    due = timezone.localtime(DelayedMessage.objects.get().due_date)
    assert due.replace(tzinfo=None) == datetime(timezone.now().year + 1, 1, 1)  # noqa: DTZ001  as the page has it


def test_what_waits_can_be_seen_and_sent_now(client, page, capsys):
    page["by_hand"]()
    page["waiting"]()
    assert "reminders None {'order': 5}" in capsys.readouterr().out
    page["remind_now"](5)
    assert client.get_next_message("reminders").content == {"order": 5}
    assert not DelayedMessage.objects.exists()


def test_the_options_are_those_of_the_command():
    parser = CommandParser()
    rundelay.Command().add_arguments(parser)
    options = {name for action in parser._actions for name in action.option_strings if name.startswith("--")}
    told = set(re.findall(r"^\| `(--[a-z]+)", REFERENCE, re.MULTILINE))
    assert told - {"--verbosity"} == options - {"--help"}


def test_the_keys_are_those_that_are_read():
    told = set(re.findall(r"^\| `([a-z]+)` \|", REFERENCE, re.MULTILINE))
    assert told == {"channel", "content", "delay", "due", "key", "sent", "cancel"}
    assert {"channel", "due", "key", "sent"} <= set(inspect.signature(Request).parameters)


def test_the_numbers_are_those_of_the_limits():
    limits = DelayLimits()
    assert (limits.batch, limits.grace, limits.late, limits.report_every, limits.look) == (500, 10, 1, 60, 5)
    assert (limits.tombstone, rundelay.LARGEST_BATCH) == (600, 10_000)
