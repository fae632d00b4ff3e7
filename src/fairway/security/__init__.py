"""Who may talk to a consumer: decorators that read like Django's, and the strict check of origins.

These are the public names.
"""

from fairway.security.origins import AllowedHostsOnlyOriginValidator, BaseOriginValidator, allowed_hosts_only
from fairway.security.permissions import login_required, permission_required, user_passes_test

__all__ = [
    "AllowedHostsOnlyOriginValidator",
    "BaseOriginValidator",
    "allowed_hosts_only",
    "login_required",
    "permission_required",
    "user_passes_test",
]
