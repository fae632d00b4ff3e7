"""Consumers as classes: a method for each kind of message. These are the public names."""

from fairway.consumers.base import BaseConsumer
from fairway.consumers.demultiplexer import WebsocketDemultiplexer
from fairway.consumers.json_websocket import JsonWebsocketConsumer
from fairway.consumers.multiplexer import WebsocketMultiplexer
from fairway.consumers.websocket import WebsocketConsumer

__all__ = [
    "BaseConsumer",
    "JsonWebsocketConsumer",
    "WebsocketConsumer",
    "WebsocketDemultiplexer",
    "WebsocketMultiplexer",
]
