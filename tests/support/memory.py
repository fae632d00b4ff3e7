"""What an object holds, counted: two brokers that hold the same have the same counts, however long they lived."""

from collections import deque
from typing import Any

CONTAINERS = (dict, list, set, deque, tuple)


def deep_counts(thing: Any, leave_out: frozenset[str] = frozenset(), path: str = "") -> dict[str, int]:
    """Path -> number of entries, for every container below ``thing``; attributes named in ``leave_out`` are skipped."""
    counts: dict[str, int] = {}
    if isinstance(thing, CONTAINERS):
        counts[path] = len(thing)
        children = thing.items() if isinstance(thing, dict) else enumerate(thing)
        for key, child in children:
            counts |= deep_counts(child, leave_out, f"{path}[{key}]")
    elif type(thing).__module__.startswith("fairway.broker"):
        for name in attribute_names(thing):
            if name not in leave_out:
                counts |= deep_counts(getattr(thing, name), leave_out, f"{path}.{name}")
    return counts


def attribute_names(thing: Any) -> list[str]:
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    fields = getattr(type(thing), "__struct_fields__", ())
    return [*dict.fromkeys([*slots, *fields, *getattr(thing, "__dict__", {})])]
