"""The two pages of the chat. The second pattern allows what `routing.PATH` allows."""

from django.urls import path, re_path

from chat import views

urlpatterns = [
    path("", views.home, name="home"),
    re_path(r"^(?P<room>[\w-]{1,50})/$", views.room, name="room"),
]
