"""From a frame to its handler, and to an answer whatever happens."""

import json
import logging
import random
import string
import tracemalloc
from dataclasses import dataclass

import pytest

from fairway.errors import ConsumeLater
from fairway.rohrpost.main import (
    DEEPEST,
    REQUIRED_FIELDS,
    Call,
    ahandle_rohrpost_message,
    handle_rohrpost_message,
    read_frame,
)
from fairway.rohrpost.message import send_success
from fairway.rohrpost.registry import HANDLERS, rohrpost_handler
from fairway.testing import RecordingConsumer

EMPTY = "Received empty message"
NO_JSON = "Could not decode JSON message. Error: "
NO_OBJECT = "Expected a JSON object as message"

NESTED = "[" * 100_000
WRONG = [
    (None, EMPTY),
    ("", EMPTY),
    (b"", EMPTY),
    (b'{"type": "ping", "id": 1}', f"{NO_JSON}it is bytes"),
    (5, f"{NO_JSON}it is int"),
    ({"type": "ping", "id": 1}, f"{NO_JSON}it is dict"),
    (" ", NO_JSON),
    ("nonsense", NO_JSON),
    ("{", NO_JSON),
    ("{'type': 'ping'}", NO_JSON),
    ('{"type": "ping", "id": 1} and more', NO_JSON),
    ('{"type": "ping", "id": NaN}', NO_JSON),
    ('{"type": "ping", "id": 1e999}', NO_JSON),
    ('{"type": "ping", "id": 1, "data": -Infinity}', NO_JSON),
    ('{"type": "ping", "id": ' + "9" * 5000 + "}", NO_JSON),
    (r'{"type": "ping", "id": "\ud800"}', NO_JSON),
    (NESTED, NO_JSON),
    (NESTED + "]" * 100_000, NO_JSON),
    ('{"type": "ping", "id": 1, "data": ' + "[" * DEEPEST + "]" * DEEPEST + "}", f"{NO_JSON}it is nested deeper than"),
    ('{"type": "ping", "id": ' + '{"a":' * 900 + "1" + "}" * 901, f"{NO_JSON}it is nested deeper than"),
    ("[]", NO_OBJECT),
    ("[1, 2]", NO_OBJECT),
    ('"ping"', NO_OBJECT),
    ("1", NO_OBJECT),
    ("null", NO_OBJECT),
    ("true", NO_OBJECT),
    ("{}", "Missing required field 'type'"),
    ('{"id": 1}', "Missing required field 'type'"),
    ('{"type": "ping"}', "Missing required field 'id'"),
    ('{"type": "ping", "ID": 1}', "Missing required field 'id'"),
]


@pytest.mark.parametrize(("text", "begins"), WRONG, ids=lambda value: repr(value)[:30])
async def test_what_is_no_request_is_answered_without_an_id(text, begins, caplog):
    consumer = RecordingConsumer()
    handle_rohrpost_message(consumer=consumer, text_data=text)
    await ahandle_rohrpost_message(consumer=consumer, text_data=text)
    assert [list(answer) for answer in consumer.data] == [["error"], ["error"]]
    assert all(answer["error"].startswith(begins) for answer in consumer.data)
    assert len(consumer.data[0]["error"]) < 300
    assert caplog.records == []


def test_the_order_of_what_is_required():
    assert REQUIRED_FIELDS == ["type", "id"]


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("nobody", "nobody"),
        ("", ""),
        ("Ping", "Ping"),
        ("__class__", "__class__"),
        ("x" * 1000, "x" * 100),
        (None, "None"),
        (True, "True"),
        (5, "5"),
        (1.5, "1.5"),
        ([], "[]"),
        (["ping"], "['ping']"),
        ({"ping": 1}, "{'ping': 1}"),
        (list(range(1000)), "[0, 1, 2, 3, 4, 5, ...]"),
    ],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize("message_id", [0, "", "x", 1.5, 10**30, False, [1], {"a": 1}])
def test_an_unknown_type_is_answered_with_its_id(kind, shown, message_id, caplog):
    consumer = RecordingConsumer()
    handle_rohrpost_message(consumer, json.dumps({"type": kind, "id": message_id}))
    error = f"Unknown message type '{shown}'."
    assert consumer.data == [{"id": message_id, "type": kind, "error": error}]
    assert caplog.records == []


def test_nothing_is_too_deep_that_is_not_deeper_than_said():
    data = "[" * (DEEPEST - 1) + "[],{}" + "]" * (DEEPEST - 1)
    found = read_frame('{"type": "ping", "id": 1, "data": ' + data.replace("[],{}", "") + "}")
    assert isinstance(found, Call)
    assert "deeper" in read_frame('{"type": "ping", "id": 1, "data": ' + data + "}")["error"]


def test_a_frame_with_many_brackets_need_not_be_deep():
    found = read_frame(json.dumps({"type": "ping", "id": 1, "data": [[], {}] * 10_000, "text": "[" * 100}))
    assert isinstance(found, Call)


def test_a_million_items_are_answered_in_proportion():
    text = '{"type": "ping", "id": 1, "data": [' + "0," * 999_999 + "0]}"
    consumer = RecordingConsumer()
    tracemalloc.start()
    try:
        handle_rohrpost_message(consumer, text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(consumer.data[0]["data"]["data"]) == 1_000_000
    assert peak < 40 * len(text)


def test_ids_need_not_differ():
    consumer = RecordingConsumer()
    for data in ({"n": 1}, {"n": 2}):
        handle_rohrpost_message(consumer, json.dumps({"type": "ping", "id": 1, "data": data}))
    assert [answer["data"] for answer in consumer.data] == [{"n": 1}, {"n": 2}]


def test_the_whole_request_reaches_the_handler_by_name():
    seen = []

    @rohrpost_handler("note")
    def note(*, consumer, request):
        seen.append((consumer, request))
        return "ignored"

    consumer = RecordingConsumer()
    request = {"type": "note", "id": 1, "data": [None], "auth_jwt": "x", "more": {"a": 1}}
    handle_rohrpost_message(text_data=json.dumps(request), consumer=consumer)
    assert seen == [(consumer, request)]
    assert consumer.data == []


def echo(consumer, request):
    send_success(consumer=consumer, handler="echo", message_id=request["id"], data=request["data"])


async def aecho(consumer, request):
    echo(consumer, request)


def looks_blocking(consumer, request):
    return aecho(consumer, request)


HANDS = pytest.mark.parametrize("handler", [echo, aecho, looks_blocking])
FRAME = '{"type": "echo", "id": 1, "data": {"a": 1}}'
ANSWER = {"id": 1, "type": "echo", "data": {"a": 1}}


@HANDS
def test_handlers_of_each_kind(handler):
    rohrpost_handler("echo")(handler)
    consumer = RecordingConsumer()
    handle_rohrpost_message(consumer, FRAME)
    assert consumer.data == [ANSWER]


@HANDS
async def test_handlers_of_each_kind_in_a_coroutine(handler):
    rohrpost_handler("echo")(handler)
    consumer = RecordingConsumer()
    await ahandle_rohrpost_message(consumer, FRAME)
    assert consumer.data == [ANSWER]


async def test_a_handler_that_is_a_coroutine_wants_to_be_awaited(caplog):
    rohrpost_handler("echo")(aecho)
    consumer = RecordingConsumer()
    handle_rohrpost_message(consumer, FRAME)
    assert consumer.data == [{"id": 1, "type": "echo", "error": "The handler of 'echo' failed."}]
    assert "AsyncToSync in the same thread as an async event loop" in caplog.text


def test_a_handler_may_be_put_into_the_dict():
    HANDLERS["echo"] = echo
    consumer = RecordingConsumer()
    handle_rohrpost_message(consumer, FRAME)
    assert consumer.data == [ANSWER]


class Silent(Exception):
    def __str__(self):
        raise ZeroDivisionError


def fail(consumer, request):
    raise ValueError("the secret")


async def afail(consumer, request):
    raise ValueError("the secret")


def fail_silently(consumer, request):
    raise Silent


def stop(consumer, request):
    next(iter([]))


def forget(consumer, request):
    request.clear()
    raise KeyError("type")


def send_no_json(consumer, request):
    send_success(consumer=consumer, handler="a", message_id=1, data={"a": object()})


def send_deep(consumer, request):
    data = []
    for _ in range(100_000):
        data = [data]
    send_success(consumer=consumer, handler="a", message_id=1, data=data)


def send_itself(consumer, request):
    data = []
    data.append(data)
    send_success(consumer=consumer, handler="a", message_id=1, data=data)


def call_wrong(consumer, wrong):
    pass


def hinted(consumer, request, data: "Nobody"):  # noqa: F821
    pass


FAILURES = pytest.mark.parametrize(
    ("handler", "details"),
    [
        (fail, "ValueError: the secret"),
        (afail, "ValueError: the secret"),
        (fail_silently, "test_main.Silent: <exception str() failed>"),
        (forget, "KeyError: 'type'"),
        (send_no_json, "TypeError: Object of type object is not JSON serializable"),
        (send_deep, "RecursionError: "),
        (send_itself, "ValueError: Circular reference detected"),
        (call_wrong, "TypeError: call_wrong() "),
        (hinted, "NameError: name 'Nobody' is not defined"),
    ],
)


@FAILURES
@pytest.mark.parametrize("debug", [False, True])
def test_a_handler_that_fails_is_answered_and_logged(handler, details, debug, settings, caplog):
    settings.DEBUG = debug
    rohrpost_handler("fail")(handler)
    consumer = RecordingConsumer()
    handle_rohrpost_message(consumer, '{"type": "fail", "id": 0}')
    (answer,) = consumer.data
    assert (answer["id"], answer["type"], sorted(answer)) == (0, "fail", ["error", "id", "type"])
    if debug:
        assert answer["error"].startswith("The handler of 'fail' failed. ")
        assert details in answer["error"]
    else:
        assert answer["error"] == "The handler of 'fail' failed."
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("fairway.rohrpost", logging.ERROR)
    assert record.getMessage() == "the handler of rohrpost message 'fail' failed"
    assert record.exc_info


@FAILURES
async def test_a_handler_that_fails_in_a_coroutine(handler, details, caplog):
    rohrpost_handler("fail")(handler)
    consumer = RecordingConsumer()
    await ahandle_rohrpost_message(consumer, '{"type": "fail", "id": 0}')
    assert consumer.data == [{"id": 0, "type": "fail", "error": "The handler of 'fail' failed."}]
    assert len(caplog.records) == 1


async def test_a_handler_that_stops_an_iteration_fails_as_any_other():
    rohrpost_handler("fail")(stop)
    consumer = RecordingConsumer()
    handle_rohrpost_message(consumer, '{"type": "fail", "id": 1}')
    await ahandle_rohrpost_message(consumer, '{"type": "fail", "id": 2}')
    assert [answer["error"] for answer in consumer.data] == ["The handler of 'fail' failed."] * 2


def test_the_details_are_short(settings):
    settings.DEBUG = True

    @rohrpost_handler("fail")
    def fail(consumer, request):
        raise ValueError("x" * 1_000_000)

    consumer = RecordingConsumer()
    handle_rohrpost_message(consumer, '{"type": "fail", "id": 1}')
    assert len(consumer.data[0]["error"]) < 1100


def test_what_was_sent_before_it_failed_is_sent():
    @rohrpost_handler("fail")
    def fail(consumer, request):
        send_success(consumer=consumer, handler="half", message_id=1)
        raise ZeroDivisionError

    consumer = RecordingConsumer()
    handle_rohrpost_message(consumer, '{"type": "fail", "id": 1}')
    assert [answer["type"] for answer in consumer.data] == ["half", "fail"]


@dataclass
class Point:
    x: int


@pytest.mark.parametrize("data", ["{}", "null", "[]", '"x"', '{"x": "1"}', '{"x": [[]]}'])
def test_data_of_another_shape_is_answered_and_not_logged(data, caplog):
    @rohrpost_handler("move")
    def move(consumer, request, data: Point):
        raise AssertionError

    consumer = RecordingConsumer()
    handle_rohrpost_message(consumer, f'{{"type": "move", "id": 1, "data": {data}}}')
    (answer,) = consumer.data
    assert (answer["id"], answer["type"]) == (1, "move")
    assert answer["error"].startswith("Invalid data: ")
    assert caplog.records == []


async def test_a_shape_in_a_coroutine():
    @rohrpost_handler("move")
    async def move(consumer, request, data: Point):
        send_success(consumer=consumer, handler="moved", message_id=request["id"], data={"x": data.x})

    consumer = RecordingConsumer()
    await ahandle_rohrpost_message(consumer, '{"type": "move", "id": 1, "data": {"x": 5}}')
    await ahandle_rohrpost_message(consumer, '{"type": "move", "id": 2, "data": {"x": "5"}}')
    assert consumer.data == [
        {"id": 1, "type": "moved", "data": {"x": 5}},
        {"id": 2, "type": "move", "error": "Invalid data: Expected `int`, got `str` - at `$.x`"},
    ]


async def test_how_its_consumer_ends_is_for_a_handler_to_decide():
    @rohrpost_handler("later")
    def later(consumer, request):
        raise ConsumeLater

    @rohrpost_handler("much later")
    async def much_later(consumer, request):
        raise ConsumeLater

    consumer = RecordingConsumer()
    with pytest.raises(ConsumeLater):
        handle_rohrpost_message(consumer, '{"type": "later", "id": 1}')
    for kind in ("later", "much later"):
        with pytest.raises(ConsumeLater):
            await ahandle_rohrpost_message(consumer, f'{{"type": "{kind}", "id": 1}}')
    assert consumer.data == []


def test_no_frame_raises():
    """Whatever stands in it: pieces of good requests, put together by chance."""
    rohrpost_handler("echo")(echo)
    pieces = [
        '"type"',
        '"id"',
        '"data"',
        '"echo"',
        '"ping"',
        ":",
        ",",
        "{",
        "}",
        "[",
        "]",
        "1",
        "null",
        "1e999",
        "\\",
        " ",
    ]
    chance = random.Random(7)
    consumer = RecordingConsumer()
    frames = 3000
    for _ in range(frames):
        text = "".join(chance.choices([*pieces, chance.choice(string.printable)], k=chance.randrange(1, 12)))
        handle_rohrpost_message(consumer, chance.choice(["", '{"type":"echo","id":']) + text)
    assert len(consumer.data) == frames
