import pytest

import fairway.testing


def test_each_public_name_can_be_imported():
    assert [name for name in fairway.testing.__all__ if not hasattr(fairway.testing, name)] == []
    assert set(fairway.testing.__all__) <= set(dir(fairway.testing))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Cleint'"):
        _ = fairway.testing.Cleint
