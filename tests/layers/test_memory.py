"""The layer in this process keeps the contract; and what only it has: one lock, one timekeeper."""

from fairway.layers.memory import MemoryLayer
from fairway.testing.layer_conformance import LayerConformance


class TestMemoryLayer(LayerConformance):
    answer_timeout = 0.15

    def make_layer(self, limits):
        return MemoryLayer(limits, answer_timeout=self.answer_timeout)
