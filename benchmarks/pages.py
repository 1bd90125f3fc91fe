"""What the page of a run shows of the JSON that is kept of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from benchmarks.models import BenchmarkRun
from benchmarks.plan import Contender
from benchmarks.plots.calls import Call
from benchmarks.statistics import MARGIN
from benchmarks.verdicts import METRICS
from providers import registry

LABELS = {metric.field: metric.label for metric in METRICS}
SENTENCES = {
    "no_difference": f"No difference of {MARGIN:.0%} or more",
    "refused": "No verdict: the stopwatch is coarser than the difference",
    "not_available": "Not available",
}


TOKENS_APART = 0.1


@dataclass(frozen=True, slots=True)
class Row:
    """One contender's figures; times in milliseconds, None where too few calls have them. Times
    and costs are those of the calls that succeeded. `within` is the share of all calls that were
    quick enough, `passed` of `checked` answers were right. `told` is the share of the tokens that
    we count in its texts which were reported, where the two are far apart."""

    contender: str
    calls: int
    failed: int
    p50: float | None
    p95: float | None
    first: float | None
    cost_per_1000: Decimal | None
    within: float | None
    checked: int
    passed: int
    cost_per_passed: Decimal | None
    told: float | None

    @property
    def failed_share(self) -> str:
        return f"{self.failed / self.calls:.0%}" if self.calls else ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The figures of one prompt, or of all, and which columns there is something to say in."""

    rows: list[Row]

    @property
    def limited(self) -> bool:
        return any(row.within is not None for row in self.rows)

    @property
    def checked(self) -> bool:
        return any(row.checked for row in self.rows)

    @property
    def failed(self) -> bool:
        return any(row.failed for row in self.rows)

    @property
    def told(self) -> list[Row]:
        return [row for row in self.rows if row.told is not None]


@dataclass(frozen=True, slots=True)
class Judgement:
    metric: str
    first: str
    second: str
    sentence: str
    is_certain: bool
    ratio: str
    pairs: int
    unmatched: int


Name = Callable[[Mapping[str, Any]], str]


def naming(plan: Mapping[str, Any]) -> Name:
    """What a contender of the plan is called: provider and model, and the key's name too where
    there are several of the same model."""
    contenders = plan["contenders"]
    same = Counter((one["provider"], one["model"]) for one in contenders)
    titles = {one.get("credential", ""): one.get("title", "") for one in contenders}

    def name(one: Mapping[str, Any]) -> str:
        plain = f"{registry.label(one['provider'])} {one['model']}"
        if same[one["provider"], one["model"]] < 2:
            return plain
        return f"{plain} “{titles.get(one.get('credential', '')) or 'usual key'}”"

    return name


def sheet(run: BenchmarkRun, prompt: str | None) -> Sheet:
    """Each contender's figures for that prompt, or for all prompts together."""
    name = naming(run.plan)
    return Sheet([_row(entry, name) for entry in run.summary if entry["prompt"] == prompt])


def _row(entry: Mapping[str, Any], name: Name) -> Row:
    told = entry.get("tokens_told")
    return Row(
        contender=name(entry),
        calls=entry["calls"],
        failed=entry["failed"],
        p50=_percentile(entry["latency_ms"], "p50"),
        p95=_percentile(entry["latency_ms"], "p95"),
        first=_percentile(entry["ttft_ms"], "p50"),
        cost_per_1000=_decimal(entry["cost_per_1000_usd"]),
        within=entry.get("goodput"),
        checked=entry.get("checked", 0),
        passed=entry.get("passed") or 0,
        cost_per_passed=_decimal(entry.get("cost_per_passed_usd")),
        told=told if told is not None and abs(told - 1) > TOKENS_APART else None,
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _percentile(found: Mapping[str, Any] | None, percentile: str) -> float | None:
    return found[percentile].get("value") if found else None


def judgements(run: BenchmarkRun) -> list[Judgement]:
    name = naming(run.plan)
    return [_judgement(verdict, name) for verdict in run.verdicts]


def _judgement(verdict: Mapping[str, Any], name: Name) -> Judgement:
    first, second = name(verdict["first"]), name(verdict["second"])
    ratio, level = verdict["ratio"], verdict.get("concurrency")
    at = "" if level is None else f", {level} at a time"
    return Judgement(
        metric=LABELS[verdict["metric"]] + at,
        first=first,
        second=second,
        sentence=_sentence(verdict, first),
        is_certain=verdict["verdict"] in ("faster", "slower", "cheaper", "dearer"),
        ratio="–"
        if ratio is None
        else f"×{ratio:.2f} ({verdict['ratio_low']:.2f} to {verdict['ratio_high']:.2f})",
        pairs=verdict["pairs"],
        unmatched=verdict.get("unmatched", 0),
    )


def _sentence(verdict: Mapping[str, Any], first: str) -> str:
    word = verdict["verdict"]
    if word == "inconclusive":
        more = verdict["more_runs"]
        return f"Inconclusive: about {more} more {'run' if more == 1 else 'runs'} needed"
    if word in SENTENCES:
        return SENTENCES[word]
    return f"{first} is {word} by {abs(1 - verdict['ratio']):.0%}"


def contender_names(plan: Mapping[str, Any]) -> list[str]:
    return list(map(naming(plan), plan["contenders"]))


def by_name(run: BenchmarkRun, calls: Iterable[Call]) -> dict[str, list[Call]]:
    """Each contender's calls under its name, in the plan's order."""
    found: dict[Contender, list[Call]] = {
        Contender(one["provider"], one["model"], one.get("credential", "")): []
        for one in run.plan["contenders"]
    }
    for call in calls:
        found.setdefault(call.contender, []).append(call)
    name = naming(run.plan)
    return {name(asdict(contender)): taken for contender, taken in found.items()}


def prompts(run: BenchmarkRun) -> list[str]:
    return [prompt["name"] for prompt in run.plan.get("prompts", ())]


def facts(run: BenchmarkRun) -> list[tuple[str, str]]:
    """What one has to know to measure the same again."""
    plan, environment = run.plan, run.environment
    known = {
        "Measured runs": plan.get("runs"),
        "Warm-up calls": plan.get("warmup"),
        "Calls at a time": _listed(plan.get("concurrency")) if not plan.get("rate") else None,
        "Calls a second": plan.get("rate"),
        "Answers": "in one piece" if plan.get("stream") is False else None,
        "Quick enough": _limits(plan.get("slo")),
        "Task workers": plan.get("shards") if plan.get("shards", 1) > 1 else None,
        "Longest answer": _with_unit(plan.get("max_tokens"), "tokens"),
        "Longest silence": _with_unit(plan.get("timeout_s"), "s"),
        "Most that it may cost": _with_unit(plan.get("max_cost_usd"), "USD"),
        "Keys": plan.get("keys"),
        "Seed": plan.get("seed"),
        "Python": environment.get("python"),
        "Platform": environment.get("platform"),
        "Prices": _with_unit(environment.get("genai-prices"), "genai-prices"),
        "Id": run.pk,
    }
    return [(name, str(value)) for name, value in known.items() if value not in (None, "")]


@dataclass(frozen=True, slots=True)
class Exactness:
    """How far the stopwatch was from the truth, in milliseconds."""

    what: str
    p50: str
    p99: str


def exactness(run: BenchmarkRun) -> list[Exactness]:
    """Nothing where that is not known."""
    error = run.harness_error or {}
    labels = {"ttft": "First token", "itl": "Between tokens", "last_token": "Last token"}
    return [
        Exactness(label, f"{found['p50']:.2f} ms", f"{found['p99']:.2f} ms")
        for key, label in labels.items()
        if (found := error.get(key))
    ]


def _limits(slo: Mapping[str, Any] | None) -> str:
    labels = {"ttft_ms": "first token", "e2e_ms": "answer"}
    return ", ".join(
        f"{label} within {slo[key]:g} ms" for key, label in labels.items() if slo and slo.get(key)
    )


def _listed(value: Any) -> str:
    """Before schema version 3 it was one number."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _with_unit(value: Any, unit: str) -> str:
    return "" if value is None else f"{value} {unit}"
