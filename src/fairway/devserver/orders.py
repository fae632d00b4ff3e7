"""What the parent of `runserver` tells its child, in an environment variable.

The child also hears of settings that the parent has read once and goes on with: it has the new ones, after an edit.
"""

import hashlib
import re
from collections.abc import MutableMapping
from typing import Self

import msgspec
from django.conf import settings

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.conf import channel_layers
from fairway.errors import InvalidLayerSetting

VARIABLE = "FAIRWAY_RUNSERVER"

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a child is told.

    `port` is the server's; `hub` is the path at which the default layer is found, empty for the layer that the
    settings name; `folder` is what has to go with the parent, empty for nothing; `settings` is what the parent goes by
    (see `digest_settings`).
    """

    port: int
    hub: str
    folder: str
    settings: dict[str, str]

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Self | None:
        """Return what we are told; None where we are nobody's child. No process that we start is told the same."""
        text = environ.pop(VARIABLE, "")
        return msgspec.json.decode(text, type=cls) if text else None

    def as_environ(self) -> dict[str, str]:
        """Return the environment variable that tells it."""
        return {VARIABLE: msgspec.json.encode(self).decode()}

    def changed_settings(self) -> list[str]:
        """Return the settings in which this process differs from its parent."""
        try:
            now = digest_settings()
        except InvalidLayerSetting:
            return ["CHANNEL_LAYERS"]
        return [name for name, digest in self.settings.items() if now[name] != digest]


def digest_settings() -> dict[str, str]:
    """Return a digest of each setting that the interface server uses, by its name. Routing is not among them.

    Raises:
        InvalidLayerSetting: the default layer's setting is wrong, or missing.
    """
    layer = channel_layers.setting(DEFAULT_CHANNEL_LAYER)
    values = {
        "CHANNEL_LAYERS": (layer.backend, dict(layer.config)),
        "CSRF_TRUSTED_ORIGINS": list(settings.CSRF_TRUSTED_ORIGINS),
        "FORCE_SCRIPT_NAME": settings.FORCE_SCRIPT_NAME,
    }
    # Objects that tell their address differ in each process.
    return {name: hashlib.sha256(_ADDRESS.sub("", repr(value)).encode()).hexdigest() for name, value in values.items()}
