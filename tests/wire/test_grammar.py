"""`fairway.wire.grammar`."""

from fairway.wire.grammar import VALUE_RECEIVED, VALUE_SENT, is_token, list_items, odd_bytes


def test_tokens():
    assert is_token(b"X-Custom_1!#$%&'*+.^`|~")
    assert not any(map(is_token, [b"", b"a b", b"a:", b"a\n", b"\xe9", b"a(b)"]))


def test_odd_bytes():
    assert odd_bytes(b"a b\tc\xe9\x85", VALUE_SENT) == b""
    assert odd_bytes(b"a b\tc\xe9\x85", VALUE_RECEIVED) == b"\x85"
    assert odd_bytes(b"a\r\nb\x00\x7f", VALUE_SENT) == b"\r\n\x00\x7f"


def test_list_items():
    assert list_items(b"") == list_items(b" , ,") == []
    assert list_items(b"a,b ,\tc d") == [b"a", b"b", b"c d"]
