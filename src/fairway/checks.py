"""System checks: what is wrong with Fairway's settings, said before anything is served.

=============  ======================================================================================
fairway.E001   `CHANNEL_LAYERS`, or an entry of it, has the wrong form, an unknown key or a bad URL
fairway.E002   a backend cannot be imported, or refuses its `CONFIG`
fairway.E003   an entry has no `ROUTING`
fairway.E004   a `ROUTING`, or a consumer in it, cannot be used
fairway.E005   a route names a channel that no worker can read
fairway.E006   `CHANNEL_SESSION_ENGINE` names no engine that can be used
fairway.E007   `CHANNEL_USER_MAX_AGE` is no number of seconds
fairway.E008   `CHANNEL_SEND_ON_COMMIT` is no bool
fairway.E009   a `ChannelTaskBackend` of `TASKS` cannot be used (`fairway.tasks.checks`)
fairway.E010   `WEBSOCKET_ACCEPT_ALL` is no bool
fairway.W001   `fairway` stands behind `django.contrib.staticfiles`, whose `runserver` hides Fairway's
fairway.W002   the packages of the interface server are not installed
fairway.W003   a route names a channel that looks like one of the server's and is none
fairway.W004   a consumer class has a method of Channels 4 that nobody calls here
fairway.W005   no route reads the queues of a `ChannelTaskBackend` (`fairway.tasks.checks`)
=============  ======================================================================================
"""

import difflib
import importlib
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from fairway.application import WEBSOCKET_CHANNELS
from fairway.auth.recent import user_max_age
from fairway.conf import channel_layers
from fairway.consumers import BaseConsumer
from fairway.errors import InvalidLayerSetting, InvalidName
from fairway.layers.registry import LayerSetting, make_layer
from fairway.names import check_not_reserved, check_readable
from fairway.routing import Router, describe_consumer
from fairway.sessions.engines import configured_engine
from fairway.transactions import sends_on_commit

STATICFILES = "django.contrib.staticfiles"
SERVER_CHANNELS = (*WEBSOCKET_CHANNELS, "http.request", "http.disconnect")
"""What a server sends on."""

NEVER_CALLED = {
    "receive_json": "receive(content, **kwargs)",
    "websocket_connect": "connect(message, **kwargs)",
    "websocket_receive": "receive(text=None, bytes=None, **kwargs)",
    "websocket_disconnect": "disconnect(message, **kwargs)",
}
"""Methods that a consumer class of Channels 4 may have, and what takes their place."""


def why_no_server() -> str:
    """Say why there is no interface server, and the remedy; "" when it can be imported."""
    try:
        importlib.import_module("fairway.server")
    except ImportError as error:
        return str(error)
    return ""


@checks.register("fairway")
def check_channel_layers(app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any) -> list[checks.CheckMessage]:
    """Check every entry of `CHANNEL_LAYERS`."""
    del app_configs
    try:
        aliases = list(channel_layers)
    except InvalidLayerSetting as error:
        return [checks.Error(str(error), id="fairway.E001")]
    found: list[checks.CheckMessage] = []
    for alias in aliases:
        try:
            setting = channel_layers.setting(alias)
        except InvalidLayerSetting as error:
            found.append(checks.Error(str(error), id="fairway.E001"))
        else:
            found += [*_check_backend(setting), *_check_routing(setting)]
    return found


@checks.register("fairway")
def check_runserver(app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any) -> list[checks.CheckMessage]:
    """Check that `runserver` can be Fairway's, where layers are configured."""
    del app_configs
    if not getattr(settings, "CHANNEL_LAYERS", None):
        return []
    found: list[checks.CheckMessage] = []
    names = [config.name for config in apps.get_app_configs()]
    if STATICFILES in names and "fairway" in names and names.index(STATICFILES) < names.index("fairway"):
        text = f"'fairway' comes after {STATICFILES!r} in INSTALLED_APPS, whose runserver has no WebSockets."
        found.append(checks.Warning(text, hint="Put 'fairway' first.", id="fairway.W001"))
    if reason := why_no_server():
        found.append(checks.Warning(f"runserver has no WebSockets: {reason}", id="fairway.W002"))
    return found


@checks.register("fairway")
def check_settings(app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any) -> list[checks.CheckMessage]:
    """Check the settings that are otherwise first needed when a message comes or is sent."""
    del app_configs
    found: list[checks.CheckMessage] = []
    for read, name in (
        (configured_engine, "fairway.E006"),
        (user_max_age, "fairway.E007"),
        (sends_on_commit, "fairway.E008"),
        (_accepts_all, "fairway.E010"),
    ):
        try:
            read()
        except (ImproperlyConfigured, ValueError) as error:
            found.append(checks.Error(str(error), id=name))
    return found


def _accepts_all() -> bool:
    from fairway.views.decorators import accepts_all  # it brings Django's requests along

    return accepts_all()


def _check_backend(setting: LayerSetting) -> list[checks.CheckMessage]:
    try:
        make_layer(setting).close()
    except InvalidLayerSetting as error:
        return [checks.Error(str(error), id="fairway.E002")]
    return []


def _check_routing(setting: LayerSetting) -> list[checks.CheckMessage]:
    where = f"CHANNEL_LAYERS[{setting.alias!r}]['ROUTING']"
    if setting.routing is None:
        hint = "Name a list of routes, such as 'mysite.routing.channel_routing'; [] for none."
        return [checks.Error(f"{where} is missing.", hint=hint, id="fairway.E003")]
    try:
        router = Router(setting.routing)
    except (ImproperlyConfigured, ValueError) as error:
        return [checks.Error(f"{where}: {error}", id="fairway.E004")]
    found: list[checks.CheckMessage] = []
    for consumer in dict.fromkeys(router.consumers()):
        found += _check_consumer(consumer)
    for channel in sorted(router.channels):
        if problem := _unreadable(channel):
            found.append(checks.Error(f"{where}: {problem}", id="fairway.E005"))
        elif channel.startswith(("websocket.", "http.")) and channel not in SERVER_CHANNELS:
            near = difflib.get_close_matches(channel, SERVER_CHANNELS, 1)
            hint = f"Is {near[0]!r} meant?" if near else f"They are {', '.join(SERVER_CHANNELS)}."
            text = f"{where}: {channel!r} is none of the channels that a server sends on."
            found.append(checks.Warning(text, hint=hint, id="fairway.W003"))
    return found


def _check_consumer(consumer: Any) -> list[checks.CheckMessage]:
    if not (isinstance(consumer, type) and issubclass(consumer, BaseConsumer)):
        return []
    called = set(consumer.method_mapping.values())
    return [
        checks.Warning(
            f"{describe_consumer(consumer)}.{name}() is never called: it is a method of Channels 4.",
            hint=f"Call it {instead}; docs/porting.md tells what else differs.",
            id="fairway.W004",
        )
        for name, instead in NEVER_CALLED.items()
        if hasattr(consumer, name) and name not in called
    ]


def _unreadable(channel: str) -> str:
    try:
        check_not_reserved(check_readable(channel), "channel")
    except InvalidName as error:
        return str(error)
    return ""
