"""Who is measured. Each contender says what it needs and which commands start it."""

from bench.contenders.base import Contender, Running
from bench.contenders.channels4 import ChannelsCore, ChannelsDaphne, ChannelsUvicorn
from bench.contenders.delay import DelayPostgres, DelaySqlite
from bench.contenders.fairway import Fairway, FairwayHub, FairwayJoined, FairwayRedis
from bench.contenders.floor import Floor
from bench.contenders.layers import CoreLayer, FairwayLayer, PubsubLayer
from bench.contenders.requests import BareJson, BareJsonUser, Rohrpost, RohrpostUser
from bench.contenders.views import AsyncView, View
from bench.contenders.wsgi import Granian, Gunicorn

CONTENDERS: tuple[type[Contender], ...] = (
    Floor,
    Fairway,
    FairwayHub,
    FairwayJoined,
    FairwayRedis,
    View,
    AsyncView,
    BareJson,
    BareJsonUser,
    Rohrpost,
    RohrpostUser,
    Gunicorn,
    Granian,
    ChannelsUvicorn,
    ChannelsCore,
    ChannelsDaphne,
    FairwayLayer,
    CoreLayer,
    PubsubLayer,
    DelaySqlite,
    DelayPostgres,
)

__all__ = ["CONTENDERS", "Contender", "FairwayHub", "FairwayJoined", "FairwayRedis", "Running"]
