import pytest

import fairway.http


def test_each_public_name_can_be_imported():
    assert [name for name in fairway.http.__all__ if not hasattr(fairway.http, name)] == []
    assert set(fairway.http.__all__) <= set(dir(fairway.http))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'AsgiReqeust'"):
        _ = fairway.http.AsgiReqeust
