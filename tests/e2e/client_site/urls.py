"""One page, with the client as a module and as a plain script."""

from django.shortcuts import render
from django.urls import path

urlpatterns = [path("", lambda request: render(request, "page.html"))]
