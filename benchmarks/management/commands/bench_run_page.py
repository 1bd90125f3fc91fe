"""`manage.py bench_run_page`: how fast the pages of a long run open.

The run is made in a database of its own, of the configured kind, which is dropped again.
"""

from __future__ import annotations

import random
import statistics
import uuid
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from time import perf_counter, thread_time
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.test import Client
from django.utils import timezone

from benchmarks import store
from benchmarks.models import BenchmarkRun, BenchmarkSample, RunStatus
from benchmarks.plan import Contender, Plan
from benchmarks.prompts import PROMPTS
from benchmarks.run import Source
from byom.throwaway import throwaway_database

TARGET_MS = 1000.0
CONTENDERS = (
    Contender("openai", "gpt-4o-mini"),
    Contender("google", "gemini-2.5-flash"),
    Contender("anthropic", "claude-haiku-4-5"),
)


class Command(BaseCommand):
    help = "Makes a long run in a throwaway database and measures its pages."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--samples", type=int, default=10_000)
        parser.add_argument("--times", type=int, default=7)

    def handle(self, *args: Any, samples: int, times: int, **options: Any) -> None:
        with throwaway_database():
            person = User.objects.create_user("person")
            run, other = (a_run(person, samples, seed) for seed in (1, 2))
            self.stdout.write(f"{connection.vendor}: a run of {run.done:,} calls, medians")
            client = Client(headers={"host": "localhost"})
            client.force_login(person)
            late = [self.measure(client, *page, times) for page in pages(run, other)]
        if any(late):
            raise CommandError("A median is above its target. Is the machine busy?")

    def measure(self, client: Client, name: str, address: str, times: int) -> bool:
        took, cpu, size = [], [], 0
        for _ in range(times + 1):
            began, work = perf_counter(), thread_time()
            response = client.get(address)
            size = len(response.content)
            took.append((perf_counter() - began) * 1000)
            cpu.append((thread_time() - work) * 1000)
        if response.status_code != 200:
            raise CommandError(f"{address} answered {response.status_code}.")
        median, work = statistics.median(took[1:]), statistics.median(cpu[1:])
        self.stdout.write(
            f"{name:<22} {median:7.0f} ms, {work:6.0f} ms of CPU, {size / 1024:6.0f} KB"
        )
        return name == "run" and median > TARGET_MS


def pages(run: BenchmarkRun, other: BenchmarkRun) -> Iterator[tuple[str, str]]:
    address = f"/benchmarks/{run.pk}/"
    yield "run", address
    yield "run, one prompt", f"{address}?prompt=Simple%20Question"
    yield "calls", f"{address}calls/"
    yield "calls, page 100", f"{address}calls/?page=100"
    yield "report", f"{address}report.html"
    yield "JSON", f"{address}results.json"
    yield "compare", f"{address}compare/?with={other.pk}"
    yield "trends", "/benchmarks/trends/"
    yield "list", "/benchmarks/"


def a_run(owner: User, samples: int, seed: int) -> BenchmarkRun:
    """As if it had been measured: every call has its row, and the run was summed up."""
    runs = max(-(-samples // (len(CONTENDERS) * len(PROMPTS))), 1)
    plan = Plan(contenders=CONTENDERS, seed=seed, runs=runs, warmup=1)
    run = store.create(plan=plan, source=Source.ENVIRONMENT, owner_id=owner.pk)
    claim = store.take(run.pk)
    assert claim is not None
    BenchmarkSample.objects.bulk_create(_rows(run, plan), batch_size=500)
    BenchmarkRun.objects.filter(pk=run.pk).update(done=run.total)
    store.end(claim, RunStatus.COMPLETED)
    run.refresh_from_db()
    return run


def _rows(run: BenchmarkRun, plan: Plan) -> Iterator[BenchmarkSample]:
    chance, began = random.Random(plan.seed), timezone.now() - timedelta(hours=3)
    for step in plan.steps():
        failed = chance.random() < 0.01
        latency = 900 * (1 + CONTENDERS.index(step.contender) / 5) * chance.lognormvariate(0, 0.3)
        yield BenchmarkSample(
            run=run,
            order=step.order,
            block=step.block,
            provider=step.contender.provider,
            model=step.contender.model,
            prompt=step.prompt.name,
            round=step.run,
            is_cold=step.cold,
            started_at=began + timedelta(seconds=step.order),
            status="error" if failed else "ok",
            error_code="overloaded" if failed else "",
            latency_ms=latency,
            ttft_ms=None if failed else latency / 3,
            input_tokens=30,
            output_tokens=60,
            cost_usd=None if failed else Decimal("0.00012"),
            record_id=uuid.uuid4(),
        )
