"""Consumers as classes: a method for each kind of message. These are the public names."""

from fairway.consumers.base import BaseConsumer

__all__ = ["BaseConsumer"]
