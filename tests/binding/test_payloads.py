"""What a client has sent, before anything is done with it. What a whole binding answers stands in test_inbound."""

from contextlib import suppress

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from fairway.binding.payloads import WrongPayload, clean_key, echo, read_payload
from tests.support.bound.models import IntegerValue, Page


@given(st.text() | st.none() | st.binary())
def test_any_text_is_an_object_or_refused(text):
    payload = {}
    with suppress(WrongPayload):
        payload = read_payload(text)
    assert isinstance(payload, dict)


def test_numbers_and_texts_that_can_be_stored():
    assert read_payload('{"a": [1, -1.5e3, "ä\\ud83d\\ude00"]}') == {"a": [1, -1500.0, "ä😀"]}


def test_a_wrong_payload_is_an_error_of_both_kinds():
    assert issubclass(WrongPayload, ValidationError)
    assert issubclass(WrongPayload, ValueError)


@pytest.mark.parametrize(("model", "value", "key"), [(IntegerValue, "5", 5), (IntegerValue, 5, 5), (Page, "a", "a")])
def test_keys_are_what_their_fields_hold(model, value, key):
    assert clean_key(model, value) == key


@pytest.mark.parametrize("value", ["x" * 51, "no slug", "", [], 1.5])
def test_keys_are_validated(value):
    with pytest.raises(WrongPayload) as refused:
        clean_key(Page, value) if value else clean_key(IntegerValue, value)
    assert list(refused.value.message_dict) == ["pk"]


@pytest.mark.parametrize(("value", "sent_back"), [("x", "x"), (5, 5), ([1], None), ("x" * 101, "x" * 100)])
def test_what_is_sent_back(value, sent_back):
    assert echo(value) == sent_back
