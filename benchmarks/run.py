"""A run in memory: a plan and what has come of it so far."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from benchmarks.baseline import Baseline
from benchmarks.models import RunStatus
from benchmarks.plan import Contender, Plan
from benchmarks.sample import Error, Sample


class Source(StrEnum):
    """Whose keys are measured."""

    USER = "user"
    ENVIRONMENT = "environment"
    SIMULATOR = "simulator"


@dataclass(slots=True, kw_only=True)
class Run:
    """`simulated` are the contenders whose answers come from the simulator, `skipped` (provider →
    reason) those that had no key, `refused` those whose key could not be used. `error` is a
    sentence about why it ended early. `harness` are the stopwatch's own errors, by level, where
    it was held against the simulator."""

    plan: Plan
    source: Source
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    owner_id: Any = None
    status: RunStatus = RunStatus.PENDING
    error: str = ""
    simulated: frozenset[Contender] = frozenset()
    skipped: Mapping[str, str] = field(default_factory=dict)
    refused: dict[Contender, str] = field(default_factory=dict)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    samples: list[Sample] = field(default_factory=list)
    harness: Mapping[int, Sequence[Error]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    baseline: Baseline | None = None

    @property
    def contenders(self) -> list[Contender]:
        """Those whose key could be used."""
        return [contender for contender in self.plan.contenders if contender not in self.refused]

    @property
    def measured(self) -> list[Sample]:
        return [sample for sample in self.samples if not sample.step.cold]

    @property
    def cold(self) -> list[Sample]:
        return [sample for sample in self.samples if sample.step.cold]

    @property
    def any_simulated(self) -> bool:
        return bool(self.simulated)

    def is_simulated(self, contender: Contender) -> bool:
        return contender in self.simulated
