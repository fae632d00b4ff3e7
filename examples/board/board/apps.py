"""The app's configuration."""

from django.apps import AppConfig


class BoardConfig(AppConfig):
    """The board."""

    name = "board"
