"""Metrics of a status, in the text form of Prometheus."""

from fairway.server.metrics import METRICS, render


def test_a_status_becomes_metrics():
    status = {
        "uptime": 1.5,
        "draining": False,
        "connections": {"http": 1, "websocket": 2},
        "closes": {"1000": 3},
        "layer": {"held_bytes": 4, "waiting": {'a"b\\c\n': 5}},
        "version": "1",
        "name": "what no metric knows",
    }
    assert render(status).splitlines() == [
        "# HELP fairway_uptime_seconds Seconds since the start.",
        "# TYPE fairway_uptime_seconds gauge",
        "fairway_uptime_seconds 1.5",
        "# HELP fairway_draining 1 while the server drains.",
        "# TYPE fairway_draining gauge",
        "fairway_draining 0",
        "# HELP fairway_connections Open connections by what they carry.",
        "# TYPE fairway_connections gauge",
        'fairway_connections{kind="http"} 1',
        'fairway_connections{kind="websocket"} 2',
        "# HELP fairway_closes_total WebSockets that have ended, by close code.",
        "# TYPE fairway_closes_total counter",
        'fairway_closes_total{code="1000"} 3',
        "# HELP fairway_layer_held_bytes Bytes of messages in the layer.",
        "# TYPE fairway_layer_held_bytes gauge",
        "fairway_layer_held_bytes 4",
        "# HELP fairway_layer_waiting Messages that wait, by channel.",
        "# TYPE fairway_layer_waiting gauge",
        'fairway_layer_waiting{channel="a\\"b\\\\c\\n"} 5',
    ]
    assert render(status).endswith("\n")


def test_a_joined_hub_tells_of_its_upstream():
    upstream = {"up": True, "forwarded": 7, "waiting_bytes": 20, "dropped": 0}
    numbers = [line for line in render({"layer": {"upstream": upstream}}).splitlines() if not line.startswith("#")]
    assert numbers == [
        "fairway_upstream_up 1",
        "fairway_upstream_forwarded_total 7",
        "fairway_upstream_waiting_bytes 20",
        "fairway_upstream_dropped_total 0",
    ]


def test_what_a_status_does_not_have_is_no_metric():
    assert render({}) == ""
    assert render({"layer": 3}) == ""


def test_names_are_unique_and_say_their_kind():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert all(metric.name.endswith("_total") == (metric.kind == "counter") for metric in METRICS)
