"""No pages; a test that needs some brings its own URLconf."""

urlpatterns: list[object] = []
