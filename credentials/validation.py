"""Testing a key: a models-list call, which is free at every provider."""

from __future__ import annotations

import asyncio
import difflib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter
from typing import Any

from asgiref.sync import async_to_sync
from django.utils import timezone

from credentials.destination import destination
from credentials.errors import CannotTest
from credentials.signals import key_validated
from providers import errors, registry
from providers.http import http_client
from providers.simulated import is_simulator_key

TIME_LIMIT = 10.0  # seconds
NEAR_NAMES = 3
# What says something about the key. All else says something about the weather.
VERDICTS = (
    errors.AuthenticationFailed,
    errors.PermissionDenied,
    errors.QuotaSpent,
    errors.KeyRefused,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What the API answers to a test. `latency_ms` is the provider's answer time."""

    is_valid: bool
    provider: str
    model_name: str
    message: str
    latency_ms: float
    tested_at: datetime
    models: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationOutcome:
    """A test as the ledger wants to know it."""

    owner_id: Any
    credential_id: uuid.UUID | None
    provider: str
    is_simulated: bool
    latency_ms: float
    error_code: str


def validate_key(
    *,
    provider: str,
    api_key: str,
    base_url: str = "",
    model_name: str = "",
    owner_id: Any = None,
    credential_id: uuid.UUID | None = None,
) -> Validation:
    """Asks the provider, within TIME_LIMIT seconds, which models the key reaches.

    An answer that says the key is bad is a Validation too. Raises CannotTest where the provider
    could not be asked, SimulatorOff, and UnknownProvider.
    """
    url = destination(provider, base_url, is_simulator_key(api_key))
    start = perf_counter()
    models, error = async_to_sync(_ask)(provider, api_key, url)
    latency_ms = (perf_counter() - start) * 1000
    outcome = ValidationOutcome(
        owner_id=owner_id,
        credential_id=credential_id,
        provider=provider,
        is_simulated=is_simulator_key(api_key),
        latency_ms=latency_ms,
        error_code=error.code if error else "",
    )
    key_validated.send(sender=Validation, outcome=outcome)
    if error is not None and not isinstance(error, VERDICTS):
        raise CannotTest(reason=str(error))
    return Validation(
        is_valid=error is None,
        provider=provider,
        model_name=model_name,
        message=str(error) if error else _message(provider, model_name, models),
        latency_ms=round(latency_ms, 1),
        tested_at=timezone.now(),
        models=models,
    )


async def _ask(
    provider: str, api_key: str, base_url: str | None
) -> tuple[list[str], errors.ProviderError | None]:
    try:
        return await _models(provider, api_key, base_url), None
    except errors.ProviderError as error:
        return [], error


async def _models(provider: str, api_key: str, base_url: str | None) -> list[str]:
    try:
        async with asyncio.timeout(TIME_LIMIT), http_client() as http:
            client = registry.make_client(
                provider,
                api_key=api_key,
                base_url=base_url,
                http=http,
                timeout=TIME_LIMIT,
                trusted=is_simulator_key(api_key),
            )
            return await client.models()
    except TimeoutError:
        raise errors.CallTimeout(registry.label(provider)) from None


def _message(provider: str, model_name: str, models: Sequence[str]) -> str:
    works = f"{registry.label(provider)} accepts this key; it reaches {len(models)} models."
    if not model_name or model_name in models or not models:
        return works
    near = difflib.get_close_matches(model_name, models, n=NEAR_NAMES, cutoff=0.4)
    hint = f" Near names: {', '.join(near)}." if near else ""
    return f"{works} The model {model_name} is not among them.{hint}"
