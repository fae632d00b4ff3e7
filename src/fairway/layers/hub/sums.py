"""What several hubs hold, added up."""

from collections.abc import Sequence
from typing import Any

import msgspec

from fairway.layers.base import ChannelStatistics, LayerStatistics


def add_up(parts: Sequence[LayerStatistics]) -> LayerStatistics:
    """Return the sum of the statistics of one hub or more."""
    total, *others = parts
    for other in others:
        changes = {name: _add(getattr(total, name), getattr(other, name)) for name in LayerStatistics.__struct_fields__}
        total = msgspec.structs.replace(total, **changes)
    return total


def _add(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        both = {name: _add_channels(one[name], other[name]) for name in one if name in other}
        return {**one, **other, **both}
    return one + other if isinstance(one, int) and isinstance(other, int) else one or other


def _add_channels(one: ChannelStatistics, other: ChannelStatistics) -> ChannelStatistics:
    sums = {name: getattr(one, name) + getattr(other, name) for name in ChannelStatistics.__struct_fields__}
    return ChannelStatistics(**sums)
