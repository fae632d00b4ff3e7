"""The text form of Prometheus (version 0.0.4), made of a status: few metrics, and none that a status does not have."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Metric(Struct, frozen=True):
    """One metric, and the path of its value in a status. With a `label` that value is a dict, label to number."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    path: tuple[str, ...]
    label: str = ""


UPSTREAM = ("layer", "upstream")

METRICS = (
    Metric("fairway_uptime_seconds", "gauge", "Seconds since the start.", ("uptime",)),
    Metric("fairway_draining", "gauge", "1 while the server drains.", ("draining",)),
    Metric("fairway_connections", "gauge", "Open connections by what they carry.", ("connections",), "kind"),
    Metric("fairway_groups", "gauge", "Groups with members here.", ("groups",)),
    Metric("fairway_gaps_total", "counter", "How often groups were announced again.", ("gaps", "count")),
    Metric("fairway_gap_seconds_total", "counter", "Seconds without a layer.", ("gaps", "seconds")),
    Metric("fairway_unsent_bytes", "gauge", "Bytes that wait for slow clients.", ("unsent_bytes",)),
    Metric("fairway_requests_total", "counter", "HTTP requests begun.", ("requests",)),
    Metric("fairway_handshakes_total", "counter", "WebSocket handshakes begun.", ("handshakes",)),
    Metric("fairway_turned_away_total", "counter", "Connections closed unheard.", ("turned_away",), "limit"),
    Metric("fairway_refusals_total", "counter", "Answers of the server itself, by status.", ("refusals",), "status"),
    Metric("fairway_closes_total", "counter", "WebSockets that have ended, by close code.", ("closes",), "code"),
    Metric("fairway_layer_held_bytes", "gauge", "Bytes of messages in the layer.", ("layer", "held_bytes")),
    Metric("fairway_layer_delivered_total", "counter", "Messages given to workers.", ("layer", "delivered")),
    Metric("fairway_layer_dead_letters", "gauge", "Messages that nobody could consume.", ("layer", "dead_letters")),
    Metric("fairway_upstream_up", "gauge", "1 while the hub reaches its upstream.", (*UPSTREAM, "up")),
    Metric("fairway_upstream_forwarded_total", "counter", "What left for other hosts.", (*UPSTREAM, "forwarded")),
    Metric("fairway_upstream_waiting_bytes", "gauge", "What waits for the upstream.", (*UPSTREAM, "waiting_bytes")),
    Metric("fairway_upstream_dropped_total", "counter", "What waited in vain for it.", (*UPSTREAM, "dropped")),
    Metric("fairway_layer_waiting", "gauge", "Messages that wait, by channel.", ("layer", "waiting"), "channel"),
)


def render(status: Mapping[str, Any]) -> str:
    """Return the metrics of a status."""
    return "".join(line for metric in METRICS for line in _lines(metric, status))


def _lines(metric: Metric, status: Mapping[str, Any]) -> Iterator[str]:
    value: Any = status
    for key in metric.path:
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None:
        return
    yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n"
    if not metric.label:
        yield f"{metric.name} {_number(value)}\n"
        return
    for label, number in value.items():
        yield f'{metric.name}{{{metric.label}="{_escaped(str(label))}"}} {_number(number)}\n'


def _number(value: float) -> str:
    return repr(value) if type(value) is float else str(int(value))


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
