"""Who is measured. Each contender says what it needs and which commands start it."""

from bench.contenders.base import Contender, Running
from bench.contenders.channels4 import ChannelsDaphne, ChannelsUvicorn
from bench.contenders.fairway import Fairway, FairwayHub
from bench.contenders.floor import Floor
from bench.contenders.wsgi import Granian, Gunicorn

CONTENDERS: tuple[type[Contender], ...] = (
    Floor,
    Fairway,
    FairwayHub,
    Gunicorn,
    Granian,
    ChannelsUvicorn,
    ChannelsDaphne,
)

__all__ = ["CONTENDERS", "Contender", "FairwayHub", "Running"]
