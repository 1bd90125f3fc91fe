"""`manage.py simulate`: the provider simulator as a server of its own."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from benchmarks.simulator.server import run
from benchmarks.simulator.settings import SLIGHTLY_DIFFERENT, SimulatorSettings
from providers import registry
from providers.simulated import PATHS

KEYS = {
    "openai": "sk-sim-ok-1234567890",
    "anthropic": "sk-ant-sim-ok-1234567890",
    "google": "AIza-sim-ok-1234567890",
}
NOTES = """
Any key that begins like these does. In the key, sk-sim-429-…, -401-, -500-, -slow- and others make
the call fail that way. To let BYOM itself use this simulator: BYOM_SIMULATOR_URL={url}
Stop with Ctrl-C.
"""


class Command(BaseCommand):
    help = "Serves simulated OpenAI, Anthropic and Gemini APIs: no key, no network, no cost."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        add("--port", type=int, default=8765, help="0 takes a free one (8765)")
        add("--ttft", type=float, metavar="MS", help="time to the first token, all providers")
        add("--itl", type=float, metavar="MS", help="time between tokens, all providers")
        add("--tokens", type=int, help="exact number of output tokens")
        add("--seed", type=int, default=0, help="another seed, other words in long answers (0)")

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("port", "ttft", "itl", "tokens", "seed"):
            if (options[name] or 0) < 0:
                raise CommandError(f"--{name} can't be negative.", returncode=2)
        try:
            run(options["host"], options["port"], _settings(options), self._announce)
        except (OSError, OverflowError) as error:
            where = f"{options['host']}:{options['port']}"
            raise CommandError(
                f"Can't listen on {where}: {error}. Try --port 0.", returncode=2
            ) from None

    def _announce(self, url: str) -> None:
        self.stdout.write(f"The provider simulator listens on {url}\n\n")
        for provider, key in KEYS.items():
            label = registry.label(provider)
            self.stdout.write(f"  {label:<14} {url}{PATHS[provider]:<12} key {key}")
        self.stdout.write(NOTES.format(url=url))
        self.stdout.flush()


def _settings(options: dict[str, Any]) -> SimulatorSettings:
    """Without any timing given, the three providers differ slightly."""
    usual = SimulatorSettings()
    ttft, itl = options["ttft"], options["itl"]
    return SimulatorSettings(
        ttft_ms=usual.ttft_ms if ttft is None else ttft,
        itl_ms=usual.itl_ms if itl is None else itl,
        tokens=options["tokens"],
        seed=options["seed"],
        per_provider=SLIGHTLY_DIFFERENT if ttft is None and itl is None else {},
    )
