"""Saves and deletes of bound models: what was stored before is compared with what is stored after.

*Before* means the stored row and not the instance, which already has the new values when Django tells of the save. It
is read once for all bindings of a model. *After* is the instance, where it has all that is stored; it is read again
where it has not (`update_fields`, deferred fields, expressions, a child with a table of its own).
"""

import copy
from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.db import connections
from django.db.models import Model
from django.db.models.signals import class_prepared, post_delete, post_save, pre_delete, pre_save

from fairway.binding.changes import Known, Notes, on_commit
from fairway.binding.relations import LOADED, watch_relations
from fairway.binding.watches import Watch, concrete, find, is_as_stored, is_related

_SAVING = "_fairway_saving"
_DELETING = "_fairway_deleting"
watches: dict[type[Model], Watch] = {}
"""By bound model."""

_by_sender: dict[type[Model], list[Watch]] = {}
"""By the model that is saved."""


def watch_model(model: type[Model], binding: Any) -> None:
    """Let a binding hear of the changes of a model, once however often it is asked for."""
    class_prepared.connect(_watch_new_model)
    watch = watches.get(model)
    if watch is None:
        watch = watches[model] = Watch(model)
        for sender in apps.get_models(include_swapped=True):
            _connect(sender, watch)
        watch_relations(watch)
    if binding not in watch.bindings:
        watch.bindings.append(binding)


def _watch_new_model(sender: type[Model], **_kwargs: Any) -> None:
    """Look at a proxy or child of a bound model that is defined only after the start."""
    for watch in watches.values():
        _connect(sender, watch)


def _connect(sender: type[Model], watch: Watch) -> None:
    # Django asks for each save who listens to that very model, so all other models cost nothing.
    if sender._meta.abstract or not is_related(sender, watch.model):  # noqa: SLF001
        return
    concerned = _by_sender.setdefault(sender, [])
    if watch not in concerned:
        concerned.append(watch)
    pre_save.connect(_before_save, sender=sender)
    post_save.connect(_after_save, sender=sender)
    if concrete(sender) is watch.concrete:  # of a parent and a child each is told for itself
        pre_delete.connect(_before_delete, sender=sender)
        post_delete.connect(_after_delete, sender=sender)


class _Saving:
    """The saves of one instance that have begun: more than one when a receiver of a signal saves it again.

    Copies and pickles of the instance do not take it along.
    """

    __slots__ = ("depth", "key", "known")

    def __init__(self) -> None:
        self.key: tuple[Any, str] | None = None
        self.depth = 0
        self.known: dict[Watch, Known] = {}

    def __reduce__(self) -> tuple[type["_Saving"], tuple[()]]:
        return _Saving, ()

    def begin(self, pk: Any, using: str) -> None:
        if self.key is not None and self.key[0] is not None and self.key != (pk, using):
            self.depth = 0  # a save that failed, of what was another row then
            self.known.clear()
        self.key = (pk, using)
        self.depth += 1

    def end(self, instance: Model) -> None:
        self.depth -= 1
        if self.depth <= 0:
            del instance.__dict__[_SAVING]
            return
        for known in self.known.values():
            known.row = copy.copy(known.row)  # the instance itself is going to be changed and saved once more


def _before_save(sender: type[Model], instance: Model, using: str, raw: bool, **_kwargs: Any) -> None:  # noqa: FBT001
    saving = instance.__dict__.setdefault(_SAVING, _Saving())
    saving.begin(instance.pk, using)
    for watch in _by_sender[sender]:
        row = _stored(watch, instance, using, raw=raw)
        known = saving.known.get(watch)
        if known is None:
            saving.known[watch] = Known(watch, row)
        else:
            known.note(row)


def _stored(watch: Watch, instance: Model, using: str, *, raw: bool) -> Model | None:
    """Return the row that a save is going to change; None for one that is going to be inserted."""
    key = watch.key_of(instance)
    if not instance._state.adding:  # noqa: SLF001
        return find(watch.locked(watch.rows(using)), key)
    pk = watch.concrete._meta.pk  # noqa: SLF001
    if not raw and key[0] == "pk" and concrete(type(instance)) is watch.concrete and pk.has_default():
        return None  # Django inserts without a look at what is there, too
    return find(watch.rows(using), key)


def _after_save(
    sender: type[Model],
    instance: Model,
    using: str,
    raw: bool,  # noqa: FBT001
    update_fields: Sequence[str] | None = None,
    **kwargs: Any,
) -> None:
    saving = instance.__dict__.get(_SAVING)
    if saving is None:
        return
    signal_kwargs = {"using": using, "raw": raw, "update_fields": update_fields, **kwargs}
    for watch in _by_sender[sender]:
        known = saving.known.get(watch)
        if known is None:
            continue
        if raw:
            saving.known.pop(watch)
            _tell_when_loaded(known, instance, using, signal_kwargs)
        elif is_as_stored(instance, watch, update_fields):
            known.tell(instance, using, signal_kwargs)
        elif known.row is not None or issubclass(concrete(sender), watch.concrete):
            known.tell(find(watch.rows(using), watch.key_of(instance)), using, signal_kwargs)
    saving.end(instance)


def _tell_when_loaded(known: Known, instance: Model, using: str, signal_kwargs: dict[str, Any]) -> None:
    """Look at what a fixture has stored when it is stored as a whole: what a row refers to may still be missing."""
    key = known.watch.key_of(instance)
    if connections[using].in_atomic_block:
        instance.__dict__[LOADED] = True

    def tell() -> None:
        instance.__dict__.pop(LOADED, None)
        known.tell(find(known.watch.rows(using), key), using, signal_kwargs)

    on_commit(tell, using)


def _before_delete(sender: type[Model], instance: Model, using: str, **_kwargs: Any) -> None:
    notes = instance.__dict__[_DELETING] = Notes()
    for watch in _by_sender[sender]:
        if concrete(sender) is watch.concrete:
            rows = watch.locked(watch.rows_with_relations(using))
            notes[watch] = Known(watch, find(rows, watch.key_of(instance)))


def _after_delete(instance: Model, using: str, **kwargs: Any) -> None:
    for known in instance.__dict__.pop(_DELETING, {}).values():
        known.tell(None, using, {"using": using, **kwargs})
