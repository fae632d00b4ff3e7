"""No HTTP views are measured."""

urlpatterns: list[object] = []
