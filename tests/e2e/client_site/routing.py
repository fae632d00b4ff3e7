"""Rohrpost, and a demultiplexer."""

import handlers  # noqa: F401  registers itself
from django.urls import path

from fairway.consumers import JsonWebsocketConsumer, WebsocketDemultiplexer
from fairway.rohrpost import SyncRohrpostConsumer


class Chat(JsonWebsocketConsumer):
    def receive(self, content, multiplexer, **kwargs):
        multiplexer.send({"heard": content["text"]})


class Streams(WebsocketDemultiplexer):
    consumers = {"chat": Chat}


channel_routing = [path("ws/rohrpost/", SyncRohrpostConsumer), path("ws/streams/", Streams)]
