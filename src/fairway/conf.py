"""What Fairway reads from Django's settings: always at the moment of use, so `override_settings` works.

`channel_layers` is the one registry of a process. Changing `CHANNEL_LAYERS` in a test closes the layers made before.
"""

from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from fairway.layers.registry import LayerRegistry


def read_setting(name: str, default: Any = None) -> Any:
    """Return a setting of ours, `default` when it is not set.

    Most are not, and Django's settings take a microsecond to say so, for they make an exception and drop it. The
    object that they wrap does not.
    """
    return getattr(getattr(settings, "_wrapped", settings), name, default)


def read_channel_layers() -> Any:
    """Return the setting `CHANNEL_LAYERS`, empty when there is none."""
    return getattr(settings, "CHANNEL_LAYERS", None) or {}


channel_layers = LayerRegistry(read_channel_layers)
"""Alias -> layer."""


def _forget_layers(*, setting: str, **_kwargs: Any) -> None:
    if setting == "CHANNEL_LAYERS":
        channel_layers.clear()


setting_changed.connect(_forget_layers, dispatch_uid="fairway.conf")
