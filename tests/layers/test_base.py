"""The contract fits one class: its sugar encodes, and both forms have the same names."""

import inspect

import pytest

from fairway.broker.effects import GroupSend, Send
from fairway.errors import InvalidMessage, InvalidName, MessageTooLarge
from fairway.layers.base import Layer, Reader
from fairway.layers.codec import encode_message


class Recorder(Layer):
    """Remembers what is published, and has nothing else."""

    def __init__(self):
        self.published = []

    def publish(self, effect, timeout=0):
        self.published.append((effect, timeout))

    async def apublish(self, effect, timeout=0):
        self.published.append((effect, timeout))


Recorder.__abstractmethods__ = frozenset()


@pytest.mark.parametrize("contract", [Layer, Reader])
def test_each_coroutine_has_a_blocking_twin_with_the_same_parameters(contract):
    coroutines = {name for name, member in vars(contract).items() if inspect.iscoroutinefunction(member)}
    assert coroutines
    for name in coroutines:
        twin = getattr(contract, name.removeprefix("a"))
        assert inspect.signature(twin) == inspect.signature(getattr(contract, name))
        assert getattr(contract, name).__doc__ == f"Do as `{twin.__name__}`."


def test_send_encodes_at_once():
    layer, message = Recorder(), {"n": [1]}
    layer.send("a", message, 3)
    message["n"].append(2)
    assert layer.published == [(Send("a", encode_message({"n": [1]})), 3)]


async def test_asend_does_the_same():
    layer = Recorder()
    await layer.asend("a", {"n": 1}, 3)
    await layer.asend_group("g", {"text": "x"})
    assert layer.published == [
        (Send("a", encode_message({"n": 1})), 3),
        (GroupSend("g", encode_message({"text": "x"})), 0),
    ]


def test_a_group_message_with_a_type_is_for_consumers():
    layer = Recorder()
    for message in ({"type": "chat.join"}, {"text": "x"}):
        layer.send_group("room é", message)
    assert [effect.typed for effect, _ in layer.published] == [True, False]


@pytest.mark.parametrize(
    ("error", "verb", "arguments"),
    [
        (InvalidName, "send", ("a b", {})),
        (InvalidName, "send_group", ("", {})),
        (InvalidMessage, "send", ("a", {"x": object()})),
        (InvalidMessage, "send_group", ("g", None)),
        (InvalidMessage, "send_group", ("g", [("type", 1)])),
        (MessageTooLarge, "send", ("a", {"x": bytes(9_000_000)})),
    ],
)
async def test_wrong_calls_publish_nothing(error, verb, arguments):
    layer = Recorder()
    with pytest.raises(error):
        getattr(layer, verb)(*arguments)
    with pytest.raises(error):
        await getattr(layer, f"a{verb}")(*arguments)
    assert layer.published == []
