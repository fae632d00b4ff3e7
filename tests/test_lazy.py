"""Names that are imported when they are asked for."""

import pytest

from fairway.lazy import lazy_names


def make(**homes):
    namespace = {"__name__": "package"}
    return namespace, *lazy_names(namespace, homes)


def test_a_name_is_imported_once_and_stays():
    namespace, find, names = make(sqrt="math")
    assert find("sqrt")(9) == 3
    assert namespace["sqrt"](4) == 2
    assert names() == ["__name__", "sqrt"]


def test_any_other_name_is_an_attribute_error():
    _, find, _ = make(sqrt="math")
    with pytest.raises(AttributeError, match="module 'package' has no attribute 'sqr'"):
        find("sqr")
