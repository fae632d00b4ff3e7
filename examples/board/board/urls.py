"""The board's page."""

from django.urls import path

from board import views

urlpatterns = [
    path("", views.first, name="first"),
    path("boards/<int:pk>/", views.board, name="board"),
]
