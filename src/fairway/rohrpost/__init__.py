"""rohrpost: requests and answers as JSON over one socket, and news of models that change.

A client sends `{"type": "ping", "id": 1, "data": ...}`; `type` finds the handler, and the answer carries the `id`.

* `registry` knows the handlers, `main` calls them, `shapes` checks what they were sent.
* `message` answers, and sends to groups; `encoder` makes JSON of what handlers have at hand.
* `sync_consumer` is the consumer, `connection` what a handler finds in it.
* `subscriptions` lets clients join groups, those that an application allows; `mixins` tell groups of saved models.
"""

from typing import TYPE_CHECKING

from fairway.lazy import lazy_names

if TYPE_CHECKING:
    from fairway.rohrpost.encoder import TolerantJSONEncoder
    from fairway.rohrpost.main import handle_rohrpost_message
    from fairway.rohrpost.message import (
        asend_to_group,
        build_message,
        send_error,
        send_message,
        send_success,
        send_to_group,
    )
    from fairway.rohrpost.mixins import NotifyOnChange, NotifyOnCreate, NotifyOnDelete, NotifyOnUpdate
    from fairway.rohrpost.registry import rohrpost_handler
    from fairway.rohrpost.subscriptions import rohrpost_subscription
    from fairway.rohrpost.sync_consumer import SyncRohrpostConsumer

__all__ = [
    "NotifyOnChange",
    "NotifyOnCreate",
    "NotifyOnDelete",
    "NotifyOnUpdate",
    "SyncRohrpostConsumer",
    "TolerantJSONEncoder",
    "asend_to_group",
    "build_message",
    "handle_rohrpost_message",
    "rohrpost_handler",
    "rohrpost_subscription",
    "send_error",
    "send_message",
    "send_success",
    "send_to_group",
]

_HOMES = {
    "NotifyOnChange": "fairway.rohrpost.mixins",
    "NotifyOnCreate": "fairway.rohrpost.mixins",
    "NotifyOnDelete": "fairway.rohrpost.mixins",
    "NotifyOnUpdate": "fairway.rohrpost.mixins",
    "SyncRohrpostConsumer": "fairway.rohrpost.sync_consumer",
    "TolerantJSONEncoder": "fairway.rohrpost.encoder",
    "asend_to_group": "fairway.rohrpost.message",
    "build_message": "fairway.rohrpost.message",
    "handle_rohrpost_message": "fairway.rohrpost.main",
    "rohrpost_handler": "fairway.rohrpost.registry",
    "rohrpost_subscription": "fairway.rohrpost.subscriptions",
    "send_error": "fairway.rohrpost.message",
    "send_message": "fairway.rohrpost.message",
    "send_success": "fairway.rohrpost.message",
    "send_to_group": "fairway.rohrpost.message",
}

__getattr__, __dir__ = lazy_names(globals(), _HOMES)
