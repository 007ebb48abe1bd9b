"""Settings of the tests' project; what differs comes from the environment, for servers in processes of their own."""

from __future__ import annotations

import gc
import json
import os
from typing import Any

SECRET_KEY = os.urandom(16).hex()
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "support.django_project.urls"
WSGI_APPLICATION = "support.django_project.wsgi.application"
USE_TZ = True
DEFAULT_AUTO_FIELD = (
    "django.db.models.AutoField"  # the project's own choice must not change our migrations
)

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin",
    "llmkit_django",
]
MIDDLEWARE = [
    "support.django_project.middleware.hold_on",
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "support.django_project.middleware.known_by_header",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast, for tests
STATIC_URL = "static/"

DATABASES: dict[str, Any] = json.loads(os.environ.get("LLMKIT_TEST_DATABASES", "null")) or {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
}
LLMKIT: dict[str, Any] = json.loads(os.environ.get("LLMKIT_TEST_CONFIG", "{}"))
if os.environ.get("LLMKIT_TEST_NO_COLLECTOR"):
    gc.disable()
globals().update(json.loads(os.environ.get("LLMKIT_TEST_SETTINGS", "{}")))
