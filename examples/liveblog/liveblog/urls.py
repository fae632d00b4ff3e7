"""The blog's page, and the way in and out."""

from django.urls import path

from liveblog import views

urlpatterns = [
    path("", views.blog, name="blog"),
    path("login/", views.Login.as_view(), name="login"),
    path("logout/", views.Logout.as_view(), name="logout"),
]
