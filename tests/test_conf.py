"""Settings are read when they are used."""

from django.test import override_settings

from fairway import DEFAULT_CHANNEL_LAYER, channel_layers
from fairway.conf import read_channel_layers, read_setting

LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []}}


def test_without_the_setting_there_are_no_layers():
    assert read_channel_layers() == {}
    assert DEFAULT_CHANNEL_LAYER not in channel_layers
    with override_settings(CHANNEL_LAYERS=None):
        assert list(channel_layers) == []


def test_a_changed_setting_closes_the_layers():
    with override_settings(CHANNEL_LAYERS=LAYERS):
        first = channel_layers["default"]
        assert channel_layers["default"] is first
        with override_settings(DEBUG=True):
            assert channel_layers["default"] is first
        with override_settings(CHANNEL_LAYERS=LAYERS):
            assert channel_layers["default"] is not first
    assert first.closed
    assert "default" not in channel_layers


def test_a_setting_is_read_at_the_moment_of_use(settings):
    assert read_setting("CHANNEL_USER_MAX_AGE", 5) == 5
    assert read_setting("CHANNEL_SESSION_ENGINE") is None
    settings.CHANNEL_USER_MAX_AGE = 1
    assert read_setting("CHANNEL_USER_MAX_AGE", 5) == 1
    with override_settings(CHANNEL_USER_MAX_AGE=2):
        assert read_setting("CHANNEL_USER_MAX_AGE", 5) == 2
