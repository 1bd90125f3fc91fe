"""Progress while the calls are made. Drawn between calls, never by a thread during one: it
would compete with what is being timed."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from benchmarks import report
from benchmarks.plan import Contender, Plan, Step
from benchmarks.report_style import styled
from benchmarks.report_words import name
from benchmarks.sample import Sample


class PlainProgress:
    """A line per call, for files and pipes."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self.console, self.plan = console, plan
        self._section: tuple[str, bool, int] | None = None
        self._announced = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def initialized(self, contender: Contender, refusal: str) -> None:
        if not self._announced:
            self.say("Initializing LLMs...")
            self._announced = True
        provider = name(contender.provider)
        said = f"✗ {provider}: {refusal}" if refusal else f"✓ {provider}: {contender.model}"
        self.say(f"  {said}")

    def started(self, step: Step) -> None:
        section = (step.prompt.name, step.cold, step.level)
        if section != self._section:
            self.close()
            self._section = section
            for line in report.running(self.plan, step):
                self.say(line)
            self.open()
        self.show_started(step)

    def finished(self, sample: Sample) -> None:
        self.show_finished(sample)

    def counted(self, done: int, total: int) -> None:
        """Where other processes make the calls."""
        self.say(f"  {done:,} of {total:,} calls")

    def say(self, text: str) -> None:
        self.console.print(styled(text), soft_wrap=True)

    def open(self) -> None:
        """A section begins."""

    def close(self) -> None:
        """A section, or everything, ends."""

    def show_started(self, step: Step) -> None:
        """Nothing: half a line would be of no use in a file."""

    def show_finished(self, sample: Sample) -> None:
        self.say(f"  {self.testing(sample.step)} {report.outcome(sample)}")

    def testing(self, step: Step) -> str:
        total = self.plan.warmup if step.cold else self.plan.runs
        count = f" ({step.run}/{total})" if total > 1 else ""
        return f"Testing {self.plan.label(step.contender)}{count}..."


class LiveProgress(PlainProgress):
    """A line per contender, rewritten in place, for terminals."""

    def __init__(self, console: Console, plan: Plan) -> None:
        super().__init__(console, plan)
        self._lines: dict[Contender, str] = {}
        self._live: Live | None = None

    def open(self) -> None:
        self._lines = {}
        self._live = Live(
            console=self.console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show_started(self, step: Step) -> None:
        self._draw(step.contender, self.testing(step))

    def show_finished(self, sample: Sample) -> None:
        step = sample.step
        self._draw(step.contender, f"{self.testing(step)} {report.outcome(sample)}")

    def _draw(self, contender: Contender, line: str) -> None:
        self._lines[contender] = f"  {line}"
        if self._live is not None:
            self._live.update(styled("\n".join(self._lines.values())), refresh=True)


def progress_on(console: Console, plan: Plan) -> PlainProgress:
    return (LiveProgress if console.is_terminal else PlainProgress)(console, plan)
