"""Consumers as classes, with a method for each kind of message, and in the background. These are the public names."""

from fairway.consumers.background import background
from fairway.consumers.base import BaseConsumer
from fairway.consumers.demultiplexer import WebsocketDemultiplexer
from fairway.consumers.json_websocket import JsonWebsocketConsumer
from fairway.consumers.multiplexer import WebsocketMultiplexer
from fairway.consumers.websocket import WebsocketConsumer
from fairway.worker.retries import Retry

__all__ = [
    "BaseConsumer",
    "JsonWebsocketConsumer",
    "Retry",
    "WebsocketConsumer",
    "WebsocketDemultiplexer",
    "WebsocketMultiplexer",
    "background",
]
