"""The URLs of the demo: the board's."""

from django.urls import include, path

urlpatterns = [path("", include("board.urls"))]
