"""Bindings that live as long as a test, a layer, and ears at it."""

import pytest
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from fairway.binding import BindingMetaclass, outbound, relations
from fairway.conf import channel_layers
from tests.binding.harness import Ears

RECEIVERS = [
    (pre_save, outbound._before_save),
    (post_save, outbound._after_save),
    (pre_delete, outbound._before_delete),
    (post_delete, outbound._after_delete),
    (m2m_changed, relations._relation_changed),
    (pre_save, relations._before_link),
    (pre_delete, relations._before_link),
    (pre_delete, relations._before_target),
    (post_save, relations._after),
    (post_delete, relations._after),
]


@pytest.fixture(autouse=True)
def bindings(monkeypatch):
    """Classes are registered as they are declared, as in a project; after the test nobody listens any more."""
    monkeypatch.setattr(BindingMetaclass, "binding_classes", [])
    monkeypatch.setattr(BindingMetaclass, "register_immediately", True)
    yield
    registries = (outbound.watches, outbound._by_sender, relations._by_through, relations._by_target)
    senders = {model for registry in registries for model in registry}
    for signal, receiver in RECEIVERS:
        for sender in senders:
            signal.disconnect(receiver, sender=sender)
    for registry in registries:
        registry.clear()


@pytest.fixture
def ears(settings, transactional_db):
    """Ears at the groups of the tests; transactions are real ones."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer"}}
    yield Ears()
    channel_layers.clear()
