"""`manage.py welcome`: what `make run` says before the server starts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

TEXT = """
BYOM  http://127.0.0.1:{port}/          admin  http://127.0.0.1:{port}/admin/
{simulator}
Try it:
  1. Sign in, add a key{hint}, start a chat: the page shows what each answer cost.
  2. From a program:
       TOKEN=$(.venv/bin/python manage.py create_access_token --user demo)
       curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:{port}/api/v1/usage/records
  3. Compare the providers, in another terminal:
       .venv/bin/python manage.py benchmark --simulate
Stop with Ctrl-C. README.md says more.
"""
SIMULATOR_ON = """
No provider key is needed: the provider simulator is on and answers in their place, marked as
simulated. Keys that begin with sk-sim-, sk-ant-sim- or AIza-sim- go to it; real keys go to
their real provider.
"""


class Command(BaseCommand):
    help = "Makes the demo users where they don't exist, and says where to go and what to try."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write("")
        if not settings.PRODUCTION:
            call_command("create_demo_users", stdout=self.stdout)
        simulated = bool(settings.SIMULATOR_URL)
        self.stdout.write(
            TEXT.format(
                port=settings.PORT,
                simulator=SIMULATOR_ON if simulated else "",
                hint=" (sk-sim-ok-1234567890 for OpenAI)" if simulated else "",
            )
        )
