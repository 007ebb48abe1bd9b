"""Where Django looks when INSTALLED_APPS names "llmkit": it says that its app has another name. Nobody else imports this."""

from __future__ import annotations

from llmkit.errors import ConfigError

raise ConfigError(
    '"llmkit" in INSTALLED_APPS is not a Django app',
    hint='Use "llmkit_django" instead, then run manage.py migrate.',
)
