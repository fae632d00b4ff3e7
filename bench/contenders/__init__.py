"""Who is measured. Each contender says what it needs, which commands start it and which shapes it can do."""

from bench.contenders.base import Contender, Running
from bench.contenders.channels4 import ChannelsDaphne, ChannelsUvicorn
from bench.contenders.fairway import Fairway
from bench.contenders.floor import Floor

CONTENDERS: tuple[type[Contender], ...] = (Floor, Fairway, ChannelsUvicorn, ChannelsDaphne)

__all__ = ["CONTENDERS", "Contender", "Running"]
