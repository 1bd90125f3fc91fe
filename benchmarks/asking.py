"""What a program asks to have measured, checked field by field."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from benchmarks.plan import Contender, Plan
from benchmarks.plan_rules import BadPlan, bounds, checked
from benchmarks.prompt_file import BadPrompts, prompt_of
from benchmarks.prompts import BUILT_IN, PROMPTS, Prompt
from benchmarks.run import Source
from benchmarks.slo import Slo
from benchmarks.starting import LIMITS
from credentials.models import AccessToken, LLMCredential
from providers import registry

FIELDS = {"timeout": "timeout_s", "max_cost": "max_cost_usd"}
"""What a field of the plan is called here, where that is something else."""


class ContenderField(serializers.Serializer[Any]):
    """`model` is the key's own or the provider's usual one if it is left out, `credential_id` the
    key that the selection order chooses."""

    provider = serializers.CharField(max_length=32)
    model = serializers.CharField(max_length=128, required=False, default="", allow_blank=True)
    credential_id = serializers.UUIDField(required=False, default=None, allow_null=True)

    def validate_provider(self, name: str) -> str:
        return registry.get(name).name  # raises UnknownProvider, which the API can say


class PromptField(serializers.Field[Any, Any, Any, Any]):
    """The name of a built-in prompt, or an object as in a file of prompts."""

    NAMED = BUILT_IN | {prompt.name: prompt for prompt in PROMPTS}

    def to_internal_value(self, data: Any) -> Prompt:
        if isinstance(data, str) and data in self.NAMED:
            return self.NAMED[data]
        if not isinstance(data, dict):
            raise serializers.ValidationError(
                f"Name one of {', '.join(self.NAMED)}, or give a name and a text."
            )
        try:
            return prompt_of(data, str(data.get("name", "A prompt")))
        except BadPrompts as error:
            raise serializers.ValidationError(str(error)) from None

    def to_representation(self, value: Prompt) -> dict[str, str]:
        return {"name": value.name, "text": value.text}


class SloField(serializers.Serializer[Any]):
    ttft_ms = serializers.FloatField(required=False, default=None, allow_null=True)
    e2e_ms = serializers.FloatField(required=False, default=None, allow_null=True)


class RunRequest(serializers.Serializer[Any]):
    """The body of a request for a run. `max_cost_usd` has to be named: nothing runs without a
    limit. `keys` is `user` for one's own, or `simulator`. `workers` is how many task workers share
    the calls, each in a process of its own. What a plan may be, plan_rules.py says."""

    keys = serializers.ChoiceField(choices=["user", "simulator"], default="user")
    contenders = serializers.ListField(child=ContenderField(), allow_empty=False)
    prompts = serializers.ListField(child=PromptField(), allow_empty=False, default=list(PROMPTS))
    runs = serializers.IntegerField(**bounds("runs"), default=10)
    warmup = serializers.IntegerField(**bounds("warmup"), default=1)
    concurrency = serializers.ListField(
        child=serializers.IntegerField(), allow_empty=False, default=[1]
    )
    rate = serializers.FloatField(required=False, default=None, allow_null=True)
    workers = serializers.IntegerField(**bounds("shards"), default=1)
    stream = serializers.BooleanField(default=True)
    slo = SloField(required=False, default=None, allow_null=True)
    max_tokens = serializers.IntegerField(**bounds("max_tokens"), default=512)
    timeout_s = serializers.FloatField(default=120)
    seed = serializers.IntegerField(**bounds("seed"), default=0)
    max_cost_usd = serializers.DecimalField(**LIMITS)

    @property
    def whose(self) -> Source:
        return Source(self.validated_data["keys"])

    def plan_for(self, user: Any, token: AccessToken | None) -> Plan:
        """A token that is pinned to a key means that key where none is named. Raises
        ValidationError for what a plan may not be."""
        try:
            return checked(self._plan(user, token))
        except BadPlan as error:
            field = FIELDS.get(error.field, error.field)
            raise serializers.ValidationError({field: [str(error)]}) from None

    def _plan(self, user: Any, token: AccessToken | None) -> Plan:
        asked = self.validated_data
        own = dict(LLMCredential.objects.owned_by(user).in_bulk())
        pinned = token.credential_id if token and self.whose == Source.USER else None
        found = [_contender(one, pinned, own) for one in asked["contenders"]]
        return Plan(
            contenders=tuple(dict.fromkeys(found)),
            seed=asked["seed"],
            prompts=tuple(asked["prompts"]),
            runs=asked["runs"],
            warmup=asked["warmup"],
            levels=tuple(dict.fromkeys(asked["concurrency"])),
            rate=asked["rate"],
            shards=asked["workers"],
            stream=asked["stream"],
            slo=Slo.within(**_limits(asked["slo"])),
            max_tokens=asked["max_tokens"],
            timeout=asked["timeout_s"],
            max_cost=asked["max_cost_usd"],
        )


def _limits(slo: dict[str, float | None] | None) -> dict[str, float | None]:
    found = slo or {}
    return {"ttft": found.get("ttft_ms"), "e2e": found.get("e2e_ms")}


def _contender(one: dict[str, Any], pinned: Any, own: dict[Any, LLMCredential]) -> Contender:
    key = one["credential_id"] or pinned
    title = own[key].name if key in own else ""
    return Contender(one["provider"], one["model"], str(key or ""), title)
