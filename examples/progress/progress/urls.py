"""The two pages."""

from django.urls import path

from progress import views

urlpatterns = [
    path("", views.register, name="register"),
    path("imports/<slug:result_id>/", views.watch, name="watch"),
]
