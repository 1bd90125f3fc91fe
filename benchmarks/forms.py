"""The forms to start a run and to make a schedule of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.forms.boundfield import BoundField
from django.utils import timezone

from benchmarks.models import BenchmarkRunQuerySet, BenchmarkSchedule, RunStatus
from benchmarks.plan import Contender, Plan
from benchmarks.plan_json import plan_to_json
from benchmarks.plan_rules import MOST_BYTES, BadPlan, bounds, read_levels
from benchmarks.prompt_file import BadPrompts, parse_prompts
from benchmarks.prompts import PROMPTS, Prompt
from benchmarks.run import Source
from benchmarks.slo import Slo
from benchmarks.starting import LIMITS, Ready, StartError, prepared
from credentials.models import LLMCredential
from providers import registry

OWN_PROMPT = "Your prompt"
COMMON = ("prompts", "own_prompt", "runs", "max_tokens", "max_cost")
SHOWN_AT = {"slo": "slo_ttft"}
EXAMPLE = "- text: What is the capital of France?\n  contains: Paris"


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as the form offers it: whether to measure with it, and which models."""

    credential: LLMCredential
    tick: BoundField
    models: BoundField


class RunForm(forms.Form):
    """What to measure, with which of the owner's keys, and for how much at most."""

    template_name = "forms/fields.html"

    prompts = forms.MultipleChoiceField(
        choices=[(prompt.name, prompt.name) for prompt in PROMPTS],
        initial=[prompt.name for prompt in PROMPTS],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    own_prompt = forms.CharField(
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Sent as it is, besides those above.",
    )
    runs = forms.IntegerField(
        **bounds("runs"),
        initial=10,
        help_text="Calls per model and prompt. Ten show a median; a verdict often needs 100.",
    )
    max_tokens = forms.IntegerField(
        **bounds("max_tokens"), initial=512, label="Longest answer", help_text="In tokens."
    )
    max_cost = forms.DecimalField(
        **LIMITS,
        initial=Decimal("0.50"),
        label="Most that it may cost",
        help_text="In US dollars. The run stops rather than pass it, with what it has so far.",
    )
    prompts_file = forms.FileField(
        required=False,
        label="A file of prompts",
        help_text="YAML or JSON lines, besides those above; each with checks of its answers or "
        "without.",
        widget=forms.FileInput(attrs={"accept": ".yaml,.yml,.json,.jsonl,.txt"}),
    )
    prompts_text = forms.CharField(
        required=False,
        max_length=MOST_BYTES,
        label="Or pasted here",
        widget=forms.Textarea(attrs={"rows": 5, "class": "mono", "placeholder": EXAMPLE}),
        help_text="Checks: contains, regex, exact, json_schema.",
    )
    concurrency = forms.CharField(
        max_length=100,
        initial="1",
        label="Calls at a time",
        help_text="Several numbers, as in 1, 4, 16, are measured one after the other.",
    )
    rate = forms.FloatField(
        required=False,
        label="Or calls a second",
        help_text="They leave at moments of chance, however many are under way.",
    )
    slo_ttft = forms.FloatField(
        required=False,
        label="First token within",
        help_text="Milliseconds. The share of calls that keep to it is reported.",
    )
    slo_e2e = forms.FloatField(
        required=False, label="Answer within", help_text="Milliseconds. The share likewise."
    )
    warmup = forms.IntegerField(
        **bounds("warmup"), initial=1, label="Warm-up calls", help_text="Reported apart."
    )
    timeout = forms.FloatField(
        initial=120, label="Longest silence", help_text="Seconds; then a call has failed."
    )
    workers = forms.IntegerField(
        **bounds("shards"),
        initial=1,
        label="Task workers",
        help_text="They share the calls at a time, each in a process of its own.",
    )
    seed = forms.IntegerField(
        **bounds("seed"), required=False, help_text="Of another run, to repeat its order of calls."
    )
    stream = forms.BooleanField(
        required=False,
        initial=True,
        label="Stream the answers",
        help_text="Without it there is no time to the first token.",
    )

    def __init__(self, *args: Any, owner: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.owner = owner
        self.credentials = list(LLMCredential.objects.owned_by(owner).usable())
        self.ready: Ready | None = None
        for row in self.credentials:
            model = row.model_name or registry.get(row.provider).default_model
            self.fields[f"key_{row.pk}"] = forms.BooleanField(required=False, initial=True)
            self.fields[f"models_{row.pk}"] = forms.CharField(
                required=False, initial=model, max_length=600
            )

    def estimate_before_changes(self) -> None:
        """Sets `ready` to what it would be if nobody changed anything."""
        values = {name: self.get_initial_for_field(at, name) for name, at in self.fields.items()}
        sent = {name: value for name, value in values.items() if value not in (None, False)}
        untouched = type(self)(sent, owner=self.owner)
        untouched.is_valid()
        self.ready = untouched.ready

    def keys(self) -> Iterator[KeyRow]:
        for row in self.credentials:
            yield KeyRow(row, self[f"key_{row.pk}"], self[f"models_{row.pk}"])

    def questions(self) -> list[BoundField]:
        """Those that everybody answers."""
        return [self[name] for name in COMMON]

    def more_questions(self) -> list[BoundField]:
        """Those that have an answer already."""
        names = [name for name in self.fields if not name.startswith(("key_", "models_"))]
        return [self[name] for name in names if name not in COMMON]

    def wants_more(self) -> bool:
        """Whether one of the latter was answered in another way, or wrongly."""
        names = [field.name for field in self.more_questions()]
        return self.is_bound and any(
            name in self.errors or name in self.changed_data for name in names
        )

    def complaints(self) -> list[str]:
        """What is wrong, each with the name of its field."""
        return [
            f"{self[name].label}: {sentence}" if name in self.fields else str(sentence)
            for name, sentences in self.errors.items()
            for sentence in sentences
        ]

    def clean_concurrency(self) -> tuple[int, ...]:
        try:
            return read_levels(self.cleaned_data["concurrency"])
        except BadPlan as error:
            raise forms.ValidationError(_sentence(error)) from None

    def clean_prompts_text(self) -> tuple[Prompt, ...]:
        text = self.cleaned_data["prompts_text"]
        return _parsed(text, "The text") if text.strip() else ()

    def clean_prompts_file(self) -> tuple[Prompt, ...]:
        file = self.cleaned_data["prompts_file"]
        return _parsed(file.read(MOST_BYTES + 1), f"“{file.name}”") if file else ()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and not self._contenders(cleaned):
            self.add_error(None, "Tick at least one key, and name a model for it.")
        if not self.errors and not self._prompts(cleaned):
            self.add_error("prompts", "Tick a prompt, or write your own.")
        if not self.errors:
            try:
                plan = self._plan(cleaned)
                self.ready = prepared(plan=plan, source=Source.USER, user=self.owner)
            except BadPlan as error:
                field = SHOWN_AT.get(error.field, error.field)
                self.add_error(field if field in self.fields else None, _sentence(error))
            except StartError as error:
                self.add_error(None, str(error))
        return cleaned

    @property
    def plan(self) -> Plan:
        """What was asked for, of a form without errors."""
        return self._plan(self.cleaned_data)

    def _plan(self, cleaned: dict[str, Any]) -> Plan:
        return Plan(
            contenders=self._contenders(cleaned),
            seed=cleaned["seed"] or 0,
            prompts=self._prompts(cleaned),
            runs=cleaned["runs"],
            warmup=cleaned["warmup"],
            levels=cleaned["concurrency"],
            rate=cleaned["rate"],
            shards=cleaned["workers"],
            stream=cleaned["stream"],
            slo=Slo.within(cleaned["slo_ttft"], cleaned["slo_e2e"]),
            max_tokens=cleaned["max_tokens"],
            timeout=cleaned["timeout"],
            max_cost=cleaned["max_cost"],
        )

    def _contenders(self, cleaned: dict[str, Any]) -> tuple[Contender, ...]:
        found = [
            Contender(row.provider, model.strip(), str(row.pk), row.name)
            for row in self.credentials
            if cleaned.get(f"key_{row.pk}")
            for model in cleaned[f"models_{row.pk}"].split(",")
            if model.strip()
        ]
        return tuple(dict.fromkeys(found))

    def _prompts(self, cleaned: dict[str, Any]) -> tuple[Prompt, ...]:
        chosen = [prompt for prompt in PROMPTS if prompt.name in cleaned["prompts"]]
        own = [Prompt(OWN_PROMPT, text)] if (text := cleaned["own_prompt"].strip()) else []
        return (*chosen, *own, *cleaned["prompts_file"], *cleaned["prompts_text"])


def _parsed(content: str | bytes, where: str) -> tuple[Prompt, ...]:
    try:
        return parse_prompts(content, where)
    except BadPrompts as error:
        raise forms.ValidationError(str(error)) from None


def _sentence(error: BadPlan) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


class RunsForm(forms.Form):
    """Which runs to list."""

    q = forms.CharField(required=False, max_length=80, empty_value="")
    status = forms.ChoiceField(choices=[("", "any"), *RunStatus.choices], required=False)
    answers = forms.ChoiceField(
        choices=[("", "any"), ("real", "real"), ("simulated", "simulated")], required=False
    )

    def filtered(self, runs: BenchmarkRunQuerySet) -> BenchmarkRunQuerySet:
        """What can't be understood filters nothing."""
        self.is_valid()
        asked = self.cleaned_data
        if words := asked.get("q"):
            runs = runs.filter(plan__contenders__icontains=words)
        if status := asked.get("status"):
            runs = runs.filter(status=status)
        if answers := asked.get("answers"):
            runs = runs.filter(is_simulated=answers == "simulated")
        return runs


class RhythmForm(forms.ModelForm[BenchmarkSchedule]):
    """When to make the runs of a schedule."""

    template_name = "forms/fields.html"

    class Meta:
        model = BenchmarkSchedule
        fields = ("name", "every", "hours", "at", "weekday", "time_zone")
        labels = {"at": "Time of day", "weekday": "Day of the week", "every": "How often"}
        help_texts = {
            "hours": "For “every few hours”.",
            "at": "For daily and weekly.",
            "weekday": "For weekly.",
        }
        widgets = {"at": forms.TimeInput(attrs={"type": "time"}, format="%H:%M")}

    def keep(self, owner: Any, plan: Plan) -> BenchmarkSchedule:
        """Stores a new schedule, due for the first time when its rhythm says so."""
        schedule = self.save(commit=False)
        schedule.owner = owner
        schedule.plan = {"keys": Source.USER, **plan_to_json(plan)}
        schedule.next_at = schedule.rhythm.after(timezone.now())
        schedule.save()
        return schedule
