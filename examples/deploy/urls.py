"""No pages: the demo talks over WebSockets."""

urlpatterns = []
