"""`manage.py deadletters`: what it shows, what it puts back and drops, and what it says when it cannot."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from fairway.conf import channel_layers
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits, ChannelRule
from fairway.management.commands.deadletters import Command


class SharedLayer(MemoryLayer):
    """Stands for a layer that the command reaches from another process."""

    is_shared = True


@pytest.fixture
def layer():
    rules = (("small", ChannelRule(attempts=1, capacity=1)), ("*", ChannelRule(attempts=1)))
    layer = SharedLayer(BrokerLimits(rules=rules))
    before = channel_layers.set("default", layer)
    yield layer
    channel_layers.set("default", before)
    layer.close()


def bury(layer, channel, *numbers):
    for number in numbers:
        layer.send(channel, {"n": number})
        reader = layer.reader([channel])
        reader.receive(5)
        reader.close()


def run(*args):
    out = io.StringIO()
    call_command(Command(), *args, stdout=out, no_color=True)
    return out.getvalue()


def ids(layer, channel="orders"):
    return [letter.id for letter in reversed(layer.dead_letters()) if letter.channel == channel]


def test_nothing_to_show(layer):
    assert run("list") == "There are no dead letters.\n"
    bury(layer, "orders", 1)
    assert run("list", "--channel", "other*") == "There are no dead letters in such channels.\n"


def test_the_list_has_the_newest_first(layer):
    bury(layer, "orders", 1, 2)
    bury(layer, "mails", 3)
    lines = run("list").splitlines()
    assert [line.split()[2] for line in lines] == ["CHANNEL", "mails", "orders", "orders"]
    assert lines[2].split()[0] == ids(layer)[1]
    assert len(run("list", "--channel", "ord*").splitlines()) == 3
    assert run("list", "--limit", "1").splitlines()[2] == "2 older ones are not shown; --limit shows more."
    assert [letter["body"]["n"] for letter in json.loads(run("list", "--json", "--limit", "2"))] == [3, 2]


def test_one_is_shown_in_full(layer):
    bury(layer, "orders", 41)
    [name] = ids(layer)
    assert run("show", name).rstrip().endswith("{'n': 41}")
    assert json.loads(run("show", name, "--json"))[0]["attempts"] == 1
    with pytest.raises(CommandError, match="no dead letter 'nobody'"):
        run("show", "nobody")


def test_some_are_put_back(layer):
    bury(layer, "orders", 1, 2, 3)
    assert run("requeue", *ids(layer)[:2]) == "2 dead letters put back.\n"
    assert layer.statistics().channels["orders"].waiting == 2
    with pytest.raises(CommandError, match="1 of 2 not put back: each is no dead letter, or its channel has no room"):
        run("requeue", "unknown", *ids(layer))


def test_a_full_channel_leaves_them_dead(layer):
    bury(layer, "small", 1, 2)
    with pytest.raises(CommandError, match="1 of 2 not put back"):
        run("requeue", "--all")
    assert len(layer.dead_letters()) == 1


def test_some_are_dropped(layer):
    bury(layer, "orders", 1, 2)
    bury(layer, "mails", 3)
    assert run("drop", ids(layer)[0]) == "1 dead letter dropped.\n"
    assert run("drop", "--all", "--channel", "mails") == "1 dead letter dropped.\n"
    assert [letter.channel for letter in layer.dead_letters()] == ["orders"]
    assert run("drop", "--all") == "1 dead letter dropped.\n"
    assert run("drop", "--all") == "0 dead letters dropped.\n"
    with pytest.raises(CommandError, match=r"1 of 1 not dropped: each is no dead letter$"):
        run("drop", "unknown")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["drop"], "name the ids"),
        (["drop", "x", "--all"], "name the ids"),
        (["requeue", "x", "--channel", "y"], "--channel chooses among --all"),
        (["list", "--layer", "nobody"], "has no 'nobody'"),
        (["list", "--limit", "0"], "--limit"),
        ([], "ACTION"),
    ],
)
def test_wrong_options_are_named(layer, args, text):
    with pytest.raises(CommandError, match=text):
        run(*args)


def test_the_letters_of_a_layer_in_another_process_cannot_be_had():
    layer = MemoryLayer()
    before = channel_layers.set("default", layer)
    try:
        with pytest.raises(CommandError, match=r"MemoryLayer, which lives in the process that serves.*LocalLayer"):
            run("list")
    finally:
        channel_layers.set("default", before)
        layer.close()


def test_a_layer_that_cannot_be_reached_is_named(layer):
    layer.close()
    with pytest.raises(CommandError, match="the layer 'default' cannot be reached: the layer is closed"):
        run("list")
