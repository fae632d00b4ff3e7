"""What several hubs hold, added up."""

from fairway.broker.effects import Send
from fairway.layers.hub.sums import add_up
from fairway.layers.memory import MemoryLayer


def test_counts_are_added_and_channels_joined() -> None:
    layers = [MemoryLayer() for _ in range(3)]
    for number, layer in enumerate(layers):
        layer.publish(Send("all", b"x"))
        layer.publish(Send(f"only.{number}", b"xx"))
    total = add_up([layer.statistics() for layer in layers])
    assert {name: channel.waiting for name, channel in total.channels.items()} == {
        "all": 3,
        "only.0": 1,
        "only.1": 1,
        "only.2": 1,
    }
    assert total.held_bytes == sum(layer.statistics().held_bytes for layer in layers)
    assert total.upstream is None
    assert add_up([layers[0].statistics()]) == layers[0].statistics()
    for layer in layers:
        layer.close()
