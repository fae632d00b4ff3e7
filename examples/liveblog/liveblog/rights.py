"""A socket's groups are chosen when it opens. Whoever becomes an admin, or is one no longer, has to connect anew.

A logout and a changed password close sockets by themselves; this is for what only this project knows about.
"""

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models.signals import post_save, pre_save
from django.dispatch import receiver

from fairway.auth import disconnect_user

User = get_user_model()
COME_AGAIN = 1012  # "service restart": the page connects at once again


@receiver(pre_save, sender=User)
def remember(instance, using, update_fields, **_kwargs):
    """Look at what is stored, before it is changed."""
    if update_fields is None or "is_staff" in update_fields:
        stored = User.objects.using(using).filter(pk=instance.pk).first()
        instance.rights_change = stored is not None and stored.is_staff != instance.is_staff


@receiver(post_save, sender=User)
def close_sockets(instance, using, **_kwargs):
    """Close the user's sockets, when the transaction commits."""
    if instance.__dict__.pop("rights_change", False):

        def close():  # a function with a name of its own, which Django 5.2 needs for the log
            disconnect_user(instance, code=COME_AGAIN, reason="your rights have changed")

        # `robust`: the change is stored, also when nothing runs that holds sockets. Then this is a line in the log.
        transaction.on_commit(close, using=using, robust=True)
