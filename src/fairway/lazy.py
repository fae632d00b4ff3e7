"""Names that a package gives, each imported from its module when it is first asked for.

So importing a package for one name brings in nothing of the others: not Django, not the models of its apps.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    namespace: dict[str, Any], homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a package (PEP 562).

    Parameters:
        namespace: the package's `globals()`; what was imported once stays there.
        homes: public name to the module that holds it.
    """

    def find(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            msg = f"module {namespace['__name__']!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = namespace[name] = getattr(import_module(home), name)
        return value

    def names() -> list[str]:
        return sorted({*namespace, *homes})

    return find, names
