"""Many-to-many fields of bound models, whose changes are no saves: `add`, `remove`, `clear` and `set`, from both ends.

A change of a bound field is an update of the objects on the side of the bound model. A change of a field that is not
bound is none, but it may change who sees an object, and then those are told. The same goes for a through model of the
application's own, whose objects may be saved and deleted one by one, and for an object at the other end that is
deleted and takes its relations along.
"""

from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from typing import Any

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from fairway.binding.changes import Known, on_commit
from fairway.binding.watches import Watch, concrete

LOADED = "_fairway_loaded"
"""Set on an instance that a fixture loads: its many-to-many values are looked at when the whole fixture is stored."""

_CHANGES = "_fairway_relations"
_MOST_CHANGES = 16
"""Changes at one instance that may have begun: one that failed is never ended, and the oldest are forgotten."""


_by_through: dict[type[Model], list["Relation"]] = {}
_by_target: dict[type[Model], list["Relation"]] = {}


class Relation:
    """One many-to-many field of a bound model.

    Parameters:
        watch: the bound model.
        field: the field.
    """

    __slots__ = ("_source", "_source_key", "_target", "field", "through", "watch")

    def __init__(self, watch: Watch, field: Any) -> None:
        self.watch = watch
        self.field = field
        self.through: Any = field.remote_field.through
        self._source: Any = self.through._meta.get_field(field.m2m_field_name())  # noqa: SLF001
        self._source_key = self._source.target_field.attname
        self._target: Any = self.through._meta.get_field(field.m2m_reverse_field_name())  # noqa: SLF001

    def updates(self, binding: Any) -> bool:
        """Say whether the field is one of those that a binding is bound to."""
        return self.field.name in binding.bound_to(self.watch.model).names

    def keys_at(self, instance: Model, pk_set: set[Any] | None, using: str, *, reverse: bool) -> set[Any]:
        """Return which objects of the bound model a change at one object concerns.

        Parameters:
            instance: the object at which the relation is changed.
            pk_set: the objects at the other end, None for all that there are.
            reverse: whether `instance` is at the other end than the bound model.
        """
        keys: set[Any] = set()
        if not reverse and (pk_set is None or pk_set):
            keys.add(getattr(instance, self._source_key))
        if reverse or getattr(self.field.remote_field, "symmetrical", False):
            keys |= self.keys_of_target(instance, using) if pk_set is None else pk_set
        return keys

    def keys_of_target(self, instance: Model, using: str) -> set[Any]:
        """Return which objects of the bound model are related to one at the other end."""
        value = getattr(instance, self._target.target_field.attname)
        return self._sources(using, {self._target.attname: value})

    def keys_of_link(self, link: Model, using: str) -> set[Any]:
        """Return which objects of the bound model an object of the through model relates, or is stored to relate."""
        keys = {getattr(link, self._source.attname)}
        if not link._state.adding:  # noqa: SLF001
            keys |= self._sources(using, {"pk": link.pk})
        return {key for key in keys if key is not None}

    def known(self, keys: Iterable[Any], using: str) -> dict[Any, Known]:
        """Return what the clients know of objects, by their keys."""
        rows = {getattr(row, self._source_key): row for row in self._rows(keys, using)}
        return {key: Known(self.watch, row) for key, row in rows.items()}

    def tell(self, known: dict[Any, Known], using: str, signal_kwargs: dict[str, Any]) -> None:
        """Tell the clients what has changed since."""
        rows = {getattr(row, self._source_key): row for row in self._rows(known, using)}
        for key, before in known.items():
            before.tell(rows.get(key), using, signal_kwargs, updates=self.updates)

    def _sources(self, using: str, condition: dict[str, Any]) -> set[Any]:
        links = self.through._base_manager.using(using).filter(**condition)  # noqa: SLF001
        return set(links.values_list(self._source.attname, flat=True))

    def _rows(self, keys: Iterable[Any], using: str) -> Iterable[Model]:
        wanted = list(keys)
        if not wanted:
            return ()
        return self.watch.rows_with_relations(using).filter(**{f"{self._source.target_field.name}__in": wanted})


def watch_relations(watch: Watch) -> None:
    """Listen to the changes of the many-to-many fields of a bound model."""
    for field in watch.concrete._meta.many_to_many:  # noqa: SLF001
        relation = Relation(watch, field)
        through = relation.through
        _by_through.setdefault(through, []).append(relation)
        m2m_changed.connect(_relation_changed, sender=through)
        if not through._meta.auto_created:  # noqa: SLF001
            pre_save.connect(_before_link, sender=through)
            post_save.connect(_after, sender=through)
            pre_delete.connect(_before_link, sender=through)
            post_delete.connect(_after, sender=through)
        for target in apps.get_models(include_swapped=True):
            if concrete(target) is concrete(field.related_model):
                _by_target.setdefault(target, []).append(relation)
                pre_delete.connect(_before_target, sender=target)
                post_delete.connect(_after, sender=target)


def _relation_changed(
    sender: type[Model],
    instance: Model,
    action: str,
    reverse: bool,  # noqa: FBT001
    pk_set: set[Any] | None,
    using: str,
    **kwargs: Any,
) -> None:
    if LOADED in instance.__dict__ and not reverse:
        return
    if action.startswith("pre_"):
        _begin(instance, _by_through[sender], lambda one: one.keys_at(instance, pk_set, using, reverse=reverse), using)
    else:
        _end(instance, using, {"action": action, "reverse": reverse, "pk_set": pk_set, "using": using, **kwargs})


def _before_link(sender: type[Model], instance: Model, using: str, **kwargs: Any) -> None:
    with suppress(ObjectDoesNotExist) if kwargs.get("raw") else nullcontext():
        # While a fixture is loaded an object may lack what it refers to; it is told of when the fixture is stored.
        _begin(instance, _by_through[sender], lambda one: one.keys_of_link(instance, using), using)


def _before_target(sender: type[Model], instance: Model, using: str, **_kwargs: Any) -> None:
    _begin(instance, _by_target[sender], lambda one: one.keys_of_target(instance, using), using)


def _after(sender: type[Model], instance: Model, using: str, **kwargs: Any) -> None:  # noqa: ARG001  the signal's
    signal_kwargs = {"using": using, **kwargs}
    if kwargs.get("raw"):
        on_commit(lambda: _end(instance, using, signal_kwargs), using)
    else:
        _end(instance, using, signal_kwargs)


class _Changes(list[dict[Relation, dict[Any, Known]]]):
    """The changes at one instance that have begun: more than one when a receiver of a signal makes another.

    Copies and pickles of the instance do not take them along.
    """

    def __reduce__(self) -> tuple[type["_Changes"], tuple[()]]:
        return _Changes, ()


def _begin(instance: Model, relations: list[Relation], keys_of: Callable[[Relation], set[Any]], using: str) -> None:
    changes = instance.__dict__.setdefault(_CHANGES, _Changes())
    outer = changes[-1] if changes else {}
    found = {relation: relation.known(keys_of(relation), using) for relation in relations}
    for relation, known in found.items():
        for key, before in outer.get(relation, {}).items():
            if key in known:  # both changes then know what either of them has told
                before.note(known[key].row)
                known[key] = before
    changes.append(found)
    del changes[:-_MOST_CHANGES]


def _end(instance: Model, using: str, signal_kwargs: dict[str, Any]) -> None:
    changes = instance.__dict__.get(_CHANGES)
    if not changes:
        return
    for relation, known in changes.pop().items():
        relation.tell(known, using, signal_kwargs)
    if not changes:
        del instance.__dict__[_CHANGES]
