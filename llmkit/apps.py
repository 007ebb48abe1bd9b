"""Where Django looks when INSTALLED_APPS names "llmkit": it says that its app has another name. Nobody else imports this."""

from __future__ import annotations

from llmkit.errors import ConfigError

raise ConfigError(
    'INSTALLED_APPS names "llmkit", which is no Django app',
    hint='Its app is "llmkit_django": name that one, then run manage.py migrate.',
)
