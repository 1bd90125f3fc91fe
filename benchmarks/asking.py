"""What a program asks to have measured, checked field by field."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from benchmarks.plan import Contender, Plan
from benchmarks.prompts import PROMPTS, Prompt
from benchmarks.run import Source
from credentials.models import AccessToken, LLMCredential
from providers import registry

MOST_CONTENDERS, MOST_PROMPTS, MOST_AT_A_TIME, MOST_LEVELS = 20, 20, 64, 6


class ContenderField(serializers.Serializer[Any]):
    """`model` is the key's own or the provider's usual one if it is left out, `credential_id` the
    key that the selection order chooses."""

    provider = serializers.CharField(max_length=32)
    model = serializers.CharField(max_length=128, required=False, default="", allow_blank=True)
    credential_id = serializers.UUIDField(required=False, default=None, allow_null=True)

    def validate_provider(self, name: str) -> str:
        return registry.get(name).name  # raises UnknownProvider, which the API can say


class PromptField(serializers.Field[Any, Any, Any, Any]):
    """The name of a built-in prompt, or `{"name", "text"}`."""

    BUILT_IN = {prompt.name: prompt for prompt in PROMPTS}

    def to_internal_value(self, data: Any) -> Prompt:
        if isinstance(data, str) and data in self.BUILT_IN:
            return self.BUILT_IN[data]
        match data:
            case {"name": str(name), "text": str(text), **others} if not others:
                if 0 < len(name) <= 64 and 0 < len(text) <= 100_000:
                    return Prompt(name, text)
        raise serializers.ValidationError(
            f"Name one of {', '.join(self.BUILT_IN)}, or give a name and a text."
        )

    def to_representation(self, value: Prompt) -> dict[str, str]:
        return {"name": value.name, "text": value.text}


class RunRequest(serializers.Serializer[Any]):
    """The body of a request for a run. `max_cost_usd` has to be named: nothing runs without a
    limit. `keys` is `user` for one's own, or `simulator`. `workers` is how many task workers share
    the calls, each in a process of its own."""

    keys = serializers.ChoiceField(choices=["user", "simulator"], default="user")
    contenders = serializers.ListField(
        child=ContenderField(), allow_empty=False, max_length=MOST_CONTENDERS
    )
    prompts = serializers.ListField(
        child=PromptField(), allow_empty=False, max_length=MOST_PROMPTS, default=list(PROMPTS)
    )
    runs = serializers.IntegerField(min_value=1, max_value=10_000, default=10)
    warmup = serializers.IntegerField(min_value=0, max_value=100, default=1)
    concurrency = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=MOST_AT_A_TIME),
        allow_empty=False,
        max_length=MOST_LEVELS,
        default=[1],
    )
    workers = serializers.IntegerField(min_value=1, max_value=MOST_AT_A_TIME, default=1)
    max_tokens = serializers.IntegerField(min_value=1, max_value=100_000, default=512)
    timeout_s = serializers.FloatField(min_value=1, max_value=3600, default=120)
    max_cost_usd = serializers.DecimalField(
        max_digits=10, decimal_places=6, min_value=Decimal("0.000001"), max_value=Decimal(1000)
    )

    def validate_prompts(self, prompts: list[Prompt]) -> list[Prompt]:
        if len({prompt.name for prompt in prompts}) < len(prompts):
            raise serializers.ValidationError("Give each prompt a name of its own.")
        return prompts

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["workers"] > min(asked["concurrency"]):
            raise serializers.ValidationError(
                {"workers": ["There must be a call at a time for each of them, or more."]}
            )
        return asked

    @property
    def whose(self) -> Source:
        return Source(self.validated_data["keys"])

    def plan_for(self, user: Any, token: AccessToken | None) -> Plan:
        """A token that is pinned to a key means that key where none is named."""
        asked = self.validated_data
        own = dict(LLMCredential.objects.owned_by(user).in_bulk())
        pinned = token.credential_id if token and self.whose == Source.USER else None
        found = [_contender(one, pinned, own) for one in asked["contenders"]]
        return Plan(
            contenders=tuple(dict.fromkeys(found)),
            seed=0,
            prompts=tuple(asked["prompts"]),
            runs=asked["runs"],
            warmup=asked["warmup"],
            levels=tuple(dict.fromkeys(asked["concurrency"])),
            shards=asked["workers"],
            max_tokens=asked["max_tokens"],
            timeout=asked["timeout_s"],
            max_cost=asked["max_cost_usd"],
        )


def _contender(one: dict[str, Any], pinned: Any, own: dict[Any, LLMCredential]) -> Contender:
    key = one["credential_id"] or pinned
    title = own[key].name if key in own else ""
    return Contender(one["provider"], one["model"], str(key or ""), title)
