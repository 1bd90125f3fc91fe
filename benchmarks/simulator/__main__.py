"""`python -m benchmarks.simulator`: serves until it is stopped; the first line says where."""

import argparse
import json
from collections.abc import Mapping

from benchmarks.simulator.server import exit_with_parent, run
from benchmarks.simulator.settings import SLIGHTLY_DIFFERENT, SimulatorSettings

PROVIDERS = ("openai", "anthropic", "google")


def parser() -> argparse.ArgumentParser:
    described = argparse.ArgumentParser("python -m benchmarks.simulator", description=__doc__)
    add = described.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8765, help="0 takes a free one")
    add("--ttft-ms", type=float, help="time to the first token, all providers")
    add("--itl-ms", type=float, help="time between tokens, all providers")
    add("--jitter-ms", type=float, default=0.0)
    add("--tokens", type=int, help="exact number of output tokens")
    add("--chunk", type=int, default=1, help="tokens per stream event")
    add("--seed", type=int, default=0)
    add("--retry-after", type=float, default=1.0, help="seconds that a 429 asks for")
    add("--provider", action="append", type=_provider, default=[], metavar="NAME:TTFT:ITL")
    add("--exit-with-parent", action="store_true", help="stop when standard input closes")
    return described


def settings_of(arguments: argparse.Namespace) -> SimulatorSettings:
    """Without any timing given, the three providers differ slightly."""
    timed = arguments.ttft_ms is not None or arguments.itl_ms is not None or arguments.provider
    per_provider = dict(arguments.provider) if timed else SLIGHTLY_DIFFERENT
    usual = SimulatorSettings()
    return SimulatorSettings(
        ttft_ms=usual.ttft_ms if arguments.ttft_ms is None else arguments.ttft_ms,
        itl_ms=usual.itl_ms if arguments.itl_ms is None else arguments.itl_ms,
        jitter_ms=arguments.jitter_ms,
        tokens=arguments.tokens,
        chunk=arguments.chunk,
        seed=arguments.seed,
        retry_after=arguments.retry_after,
        per_provider=per_provider,
    )


def _provider(text: str) -> tuple[str, Mapping[str, float]]:
    name, ttft, itl = text.split(":")
    if name not in PROVIDERS:
        raise argparse.ArgumentTypeError(f"not one of {', '.join(PROVIDERS)}: {name}")
    return name, {"ttft_ms": float(ttft), "itl_ms": float(itl)}


def main() -> None:
    arguments = parser().parse_args()
    if arguments.exit_with_parent:
        exit_with_parent()
    run(arguments.host, arguments.port, settings_of(arguments), _announce)


def _announce(url: str) -> None:
    print(json.dumps({"url": url}), flush=True)


if __name__ == "__main__":
    main()
