"""The project's routes."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from support.django_project import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("llm/", include("llmkit_django.urls")),
    path("hello", views.hello),
    path("poem", views.poem),
    path("apoem", views.apoem),
    path("wrong", views.wrong),
    path("awrong", views.awrong),
    path("word", views.word),
]
