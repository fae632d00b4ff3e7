"""Layers by alias: made once, from settings that are checked."""

import threading

import pytest

from fairway.errors import InvalidLayerSetting
from fairway.layers.base import Layer
from fairway.layers.hub.several import SeveralLayer
from fairway.layers.memory import MemoryLayer
from fairway.layers.registry import LayerRegistry, make_layer, parse_setting

MEMORY = "fairway.layers.MemoryLayer"


class Configured(MemoryLayer):
    """A layer with an argument of its own."""

    def __init__(self, prefix="fairway"):
        super().__init__()
        self.prefix = prefix


class Remembering(MemoryLayer):
    """A layer that keeps what it was given."""

    def __init__(self, limits=None, name=""):
        super().__init__(limits)
        self.limits = limits
        self.name = name


def refuses(a):
    """A backend that does not like its config."""
    raise ValueError(f"not {a}")


def not_a_layer():
    """Return something else."""


def registry(**settings):
    return LayerRegistry(lambda: settings)


def test_a_layer_is_made_once():
    layers = registry(default={"BACKEND": MEMORY}, other={"URL": "memory://"})
    found = []
    threads = [threading.Thread(target=lambda: found.append(layers["default"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert isinstance(found[0], MemoryLayer)
    assert len(set(map(id, found))) == 1
    assert layers["other"] is not layers["default"]
    assert list(layers) == ["default", "other"]
    assert "default" in layers
    assert "third" not in layers


def test_make_does_not_keep():
    layers = registry(default={"BACKEND": "tests.layers.test_registry.Configured", "CONFIG": {"prefix": "x"}})

    assert layers.make("default").prefix == "x"
    assert layers.make("default") is not layers["default"]


def test_a_layer_for_a_test():
    backend = "tests.layers.test_registry.Configured"
    layers = registry(default={"BACKEND": backend, "TEST_CONFIG": {"prefix": "t"}}, bare={"BACKEND": backend})

    assert layers.make("default", for_test=True).prefix == "t"
    with pytest.raises(InvalidLayerSetting, match=r"\['bare'\]\['TEST_CONFIG'\]"):
        layers.make("bare", for_test=True)


def test_a_layer_can_be_replaced():
    layers = registry(default={"BACKEND": MEMORY})
    mine = MemoryLayer()

    assert layers.set("default", mine) is None
    assert layers["default"] is mine
    assert layers.set("default", None) is mine
    assert layers["default"] is not mine


def test_clear_closes():
    layers = registry(default={"BACKEND": MEMORY})
    layer = layers["default"]
    layers.clear()

    assert layer.closed
    assert layers["default"] is not layer


def test_shared_options_become_limits():
    config = {"capacity": {"http.request": 5, "work": 7}, "expiry": {"work": 1.5}, "name": "x"}
    layer = registry(a={"BACKEND": "tests.layers.test_registry.Remembering", "CONFIG": config})["a"]
    rules = dict(reversed(layer.limits.rules))

    assert layer.name == "x"
    assert (rules["http.request"].capacity, rules["http.request"].attempts) == (5, 2)
    assert (rules["work"].capacity, rules["work"].expiry) == (7, 1.5)
    assert rules["*"].capacity == 10_000


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (None, r"CHANNEL_LAYERS\['a'\] is a dict, not NoneType"),
        ("memory://", r"CHANNEL_LAYERS\['a'\] is a dict, not str"),
        ({}, r"\['BACKEND'\] = None must be a dotted path"),
        ({"BACKEND": "MemoryLayer"}, r"\['BACKEND'\] = 'MemoryLayer' must be a dotted path"),
        ({"BACKEND": 5}, r"\['BACKEND'\] = 5"),
        ({"BACKEND": MEMORY, "URL": "memory://"}, r"\['URL'\] = 'memory://' comes with a 'BACKEND'"),
        ({"URL": "carrier-pigeon://"}, r"'carrier-pigeon://' is no URL of a layer; known: memory://"),
        ({"URL": 5}, r"\['URL'\] = 5"),
        ({"URL": "memory://x?y=1"}, "must be just memory://"),
        ({"BACKEND": MEMORY, "ROUTES": []}, r"\['ROUTES'\] = \[\] is no setting of a layer; 'ROUTING' is meant"),
        ({"BACKEND": MEMORY, "config": {}}, "'CONFIG' is meant"),
        ({"BACKEND": MEMORY, "OPTIMISM": 1}, "the keys are BACKEND, URL, CONFIG, TEST_CONFIG, ROUTING"),
        ({"BACKEND": MEMORY, "CONFIG": [1]}, r"\['CONFIG'\] = \[1\] must be a dict"),
        ({"BACKEND": MEMORY, "TEST_CONFIG": 1}, r"\['TEST_CONFIG'\] = 1 must be a dict"),
    ],
)
def test_wrong_settings(setting, says):
    with pytest.raises(InvalidLayerSetting, match=says):
        parse_setting("a", setting)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"BACKEND": "no.such.Layer"}, "cannot be imported: No module named 'no'"),
        ({"BACKEND": "fairway.layers.NoLayer"}, "cannot be imported"),
        ({"BACKEND": ".x"}, "cannot be imported"),
        ({"BACKEND": "fairway.layers.registry.KEYS"}, "is no class"),
        ({"BACKEND": "tests.layers.test_registry.not_a_layer"}, "is no channel layer"),
        ({"BACKEND": "fairway.layers.NoLayer"}, "Fairway has fairway.layers.MemoryLayer"),
        ({"BACKEND": MEMORY, "CONFIG": {"hosts": []}}, "it takes limits, .*, capacity, expiry"),
        ({"BACKEND": "tests.layers.test_registry.refuses", "CONFIG": {"a": 1}}, "refused by the backend: not 1"),
        ({"BACKEND": "builtins.dict"}, "is no channel layer"),
        ({"BACKEND": MEMORY, "CONFIG": {"capacity": {"a": -5}}}, r"{'a': -5} must be above 0, or -1 for no limit"),
        ({"BACKEND": MEMORY, "CONFIG": {"expiry": {"a": 0}}}, r"{'a': 0} must be above 0, or -1 for no limit"),
        ({"BACKEND": MEMORY, "CONFIG": {"hosts": []}}, r"\['CONFIG'\] = {'hosts': \[\]} is refused by the backend"),
        ({"URL": "local:///a", "CONFIG": {"capacity": {"a": 5}}}, "limits of the hub, which `fairway serve` and"),
        ({"BACKEND": MEMORY, "CONFIG": {"capacity": 5}}, r"\['CONFIG'\]\['capacity'\] = 5 must be a dict"),
        ({"BACKEND": MEMORY, "CONFIG": {"expiry": {"a": "5"}}}, r"\['expiry'\] = {'a': '5'} must hold numbers"),
        ({"BACKEND": MEMORY, "CONFIG": {"capacity": {"a": True}}}, "must hold numbers"),
    ],
)
def test_settings_that_turn_out_wrong_when_the_layer_is_made(setting, says):
    with pytest.raises(InvalidLayerSetting, match=says):
        _ = registry(a=setting)["a"]


def test_minus_one_is_no_limit():
    layer = registry(a={"BACKEND": MEMORY, "CONFIG": {"capacity": {"a": -1}, "expiry": {"a": -1}}})["a"]

    for _ in range(3):
        layer.send("a", {})
    assert layer.statistics().channels["a"].waiting == 3


def test_an_unknown_alias_names_the_known_ones():
    with pytest.raises(InvalidLayerSetting, match=r"has no 'x' \(it has: 'a'\)"):
        _ = registry(a={"BACKEND": MEMORY})["x"]
    with pytest.raises(InvalidLayerSetting, match="it has: none"):
        _ = registry()["default"]


@pytest.mark.parametrize("settings", [["a"], "text", 5])
def test_layers_are_a_dict(settings):
    layers = LayerRegistry(lambda: settings)

    with pytest.raises(InvalidLayerSetting, match="CHANNEL_LAYERS is a dict"):
        _ = "default" in layers


def test_what_it_makes_is_a_layer():
    assert isinstance(registry(a={"URL": "memory://"})["a"], Layer)


def test_a_url_of_a_hub_says_where_it_is_and_who_may_open_it():
    setting = parse_setting("default", {"URL": "local:///run/my%20site/f.sock?mode=0660&group=www-data"})
    assert setting.backend == "fairway.layers.LocalLayer"
    assert setting.config == {"path": "/run/my site/f.sock", "mode": "0660", "group": "www-data"}


def test_config_goes_before_what_a_url_says():
    setting = parse_setting("default", {"URL": "local:///run/a.sock", "CONFIG": {"path": "/run/b.sock"}})
    assert setting.config == {"path": "/run/b.sock"}


@pytest.mark.parametrize("url", ["local://host/run/a.sock", "local:///run/a.sock?mdoe=0660", "local:///a#b"])
def test_a_url_of_a_hub_with_other_parts_is_refused(url):
    with pytest.raises(InvalidLayerSetting, match=r"CHANNEL_LAYERS\['default'\]\['URL'\]"):
        parse_setting("default", {"URL": url})


def test_a_hub_that_is_made_from_a_url_has_its_address():
    layer = make_layer(parse_setting("default", {"URL": "local:///run/a.sock?mode=0660"}))
    assert (layer.address.path, layer.address.mode) == ("/run/a.sock", 0o660)
    layer.close()


@pytest.mark.parametrize(
    "setting",
    [
        {"URL": "redys://me:s3cret@host"},
        {"URL": "redys://me:s3cret@" + "host" * 100},
        {"URL": "memory://me:s3cret@host"},
        {"URL": "memory://", "BACKEND": "redis://me:s3cret@host"},
        {"BACKEND": "fairway.layers.MemoryLayer", "CONFIG": {"url": "redis://me:s3cret@host"}},
        {"URI": "redis://me:s3cret@host"},
    ],
)
def test_a_wrong_setting_shows_no_password(setting):
    with pytest.raises(InvalidLayerSetting, match=r"\*\*\*@host|BACKEND") as caught:
        make_layer(parse_setting("default", setting))
    assert "s3cret" not in str(caught.value)


def test_hubs_on_other_hosts(tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("correct horse battery staple")
    url = f"tcp+tls://a.internal:7400,[2001:db8::1]:7400?secret_file={secret}"
    setting = parse_setting("default", {"URL": url, "CONFIG": {"wait": 0.5}})
    assert setting.backend == "fairway.layers.remote_layer"
    layer = make_layer(setting)
    assert isinstance(layer, SeveralLayer)
    assert layer.address.url == url
    assert layer.is_shared
    layer.close()
    monkeypatch.setenv("FAIRWAY_HUB_SECRET", "correct horse battery staple")
    layer = make_layer(parse_setting("default", {"URL": "tcp://127.0.0.1:7400"}))
    assert layer.address.url == "tcp://127.0.0.1:7400"
    layer.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("tcp://10.0.0.5:7400", r"\['URL'\] = 'tcp://10.0.0.5:7400' cannot be used: .* write tcp\+tls://"),
        ("tcp+tls://hub", r"\['URL'\] = 'tcp\+tls://hub' cannot be used: .*write HOST:PORT"),
        ("tcp+tls://hub:1?mode=0660", "'mode' in .* is no option of a hub over TCP"),
        ("tcp+tls://hub:1", "set FAIRWAY_HUB_SECRET, or name a file with one: secret_file"),
        ("tcp+tls://hub:1?secret_file=/none", "secret_file = '/none' cannot be read: No such file"),
        ("tcp+tls://hub:1?secret_file={short}", "has only 5 bytes in line 1, and 16 are the least"),
        ("tcp+tls://hub:1?secret_file={secret}&ca=/none", "ca = '/none' cannot be read: No such file"),
    ],
)
def test_hubs_that_cannot_be_reached_so(tmp_path, monkeypatch, url, words):
    monkeypatch.delenv("FAIRWAY_HUB_SECRET", raising=False)
    (tmp_path / "short").write_text("short")
    (tmp_path / "secret").write_text("correct horse battery staple")
    url = url.format(short=tmp_path / "short", secret=tmp_path / "secret")
    with pytest.raises(InvalidLayerSetting, match=words):
        make_layer(parse_setting("default", {"URL": url}))
