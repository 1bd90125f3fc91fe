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
from benchmarks.prompts import PROMPTS, Prompt
from benchmarks.run import Source
from benchmarks.starting import Ready, StartError, prepared
from credentials.models import LLMCredential
from providers import registry

MOST_LEVELS, MOST_AT_A_TIME = 6, 64
OWN_PROMPT = "Your prompt"


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
        min_value=1,
        max_value=1000,
        initial=10,
        help_text="Calls per model and prompt. Ten show a median; a verdict often needs 100.",
    )
    warmup = forms.IntegerField(
        min_value=0, max_value=20, initial=1, label="Warm-up calls", help_text="Reported apart."
    )
    concurrency = forms.RegexField(
        r"^\s*\d{1,3}(\s*,\s*\d{1,3})*\s*$",
        initial="1",
        label="Calls at a time",
        help_text="Several numbers, as in 1, 4, 16, are measured one after the other.",
        error_messages={"invalid": "Write a number, or several with commas between them."},
    )
    max_tokens = forms.IntegerField(
        min_value=1, max_value=100_000, initial=512, label="Longest answer", help_text="In tokens."
    )
    max_cost = forms.DecimalField(
        min_value=Decimal("0.000001"),
        max_value=Decimal(1000),
        max_digits=10,
        decimal_places=6,
        initial=Decimal("0.50"),
        label="Most that it may cost",
        help_text="In US dollars. The run stops rather than pass it, with what it has so far.",
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
        """The fields that are no keys."""
        return [self[name] for name in self.fields if not name.startswith(("key_", "models_"))]

    def complaints(self) -> list[str]:
        """What is wrong, each with the name of its field."""
        return [
            f"{self[name].label}: {sentence}" if name in self.fields else str(sentence)
            for name, sentences in self.errors.items()
            for sentence in sentences
        ]

    def clean_concurrency(self) -> tuple[int, ...]:
        levels = tuple(dict.fromkeys(map(int, self.cleaned_data["concurrency"].split(","))))
        if len(levels) > MOST_LEVELS or not all(1 <= at <= MOST_AT_A_TIME for at in levels):
            raise forms.ValidationError(
                f"At most {MOST_LEVELS} numbers, each from 1 to {MOST_AT_A_TIME}."
            )
        return levels

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
            seed=0,
            prompts=self._prompts(cleaned),
            runs=cleaned["runs"],
            warmup=cleaned["warmup"],
            levels=cleaned["concurrency"],
            max_tokens=cleaned["max_tokens"],
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
        own = cleaned["own_prompt"].strip()
        return (*chosen, Prompt(OWN_PROMPT, own)) if own else tuple(chosen)


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
