"""`python example_projects/django_helpdesk/run.py`: the helpdesk at http://127.0.0.1:8000. Without a key an emulator answers."""

from __future__ import annotations

import contextlib
import os
import sys

from llmkit.testing import Emulator

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "helpdesk.settings")
    with contextlib.ExitStack() as stack:
        if "ANTHROPIC_API_KEY" not in os.environ:
            emulator = stack.enter_context(Emulator())
            os.environ |= {"ANTHROPIC_API_KEY": "emulated", "ANTHROPIC_BASE_URL": emulator.base_url}
        import django

        django.setup()
        from django.contrib.auth import get_user_model
        from django.core.management import call_command
        from tickets.models import Ticket

        call_command("migrate", verbosity=0)
        if not get_user_model().objects.exists():
            get_user_model().objects.create_superuser("agent", password="agent")
            Ticket.objects.create(
                customer="Ms Rivers",
                subject="The kettle",
                question="My kettle whistles before the water boils. Is it broken?",
            )
        address = f"127.0.0.1:{sys.argv[1] if len(sys.argv) > 1 else 8000}"
        print(f"Helpdesk: http://{address} (log in as agent, agent)", flush=True)
        call_command("runserver", address, use_reloader=False, verbosity=0)
