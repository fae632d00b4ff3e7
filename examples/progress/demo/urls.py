"""The URLs of the demo."""

from django.urls import include, path

urlpatterns = [path("", include("progress.urls"))]
