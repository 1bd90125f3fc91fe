"""Writes to credentials that take more than one step. All arguments are keyword-only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from credentials.errors import AlreadyExists, BaseURLsClosed, KeyNeeded
from credentials.models import LLMCredential
from providers import registry
from providers.keys import check_base_url, check_key


def add_credential(
    *,
    owner: Any,
    provider: str,
    api_key: str,
    label: str = "",
    model_name: str = "",
    base_url: str = "",
    params: Mapping[str, Any] | None = None,
    is_default: bool | None = None,
    expires_at: datetime | None = None,
) -> LLMCredential:
    """A new active credential. The owner's first one becomes the default.

    Raises registry.UnknownProvider, KeyRefused, BaseURLRefused, BaseURLsClosed,
    AlreadyExists.
    """
    credential = LLMCredential(
        owner=owner,
        provider=registry.get(provider).name,
        label=label.strip(),
        model_name=model_name.strip(),
        base_url=_own_base_url(provider, base_url),
        params=dict(params or {}),
        expires_at=expires_at,
    )
    credential.set_api_key(check_key(provider, api_key))
    with transaction.atomic():
        _lock(owner)
        others = LLMCredential.objects.owned_by(owner).active()
        credential.is_default = not others.exists() if is_default is None else is_default
        _refuse_twin(credential)
        if credential.is_default:
            others.update(is_default=False)
        credential.save()
    return credential


def update_credential(*, credential: LLMCredential, **changes: Any) -> LLMCredential:
    """Applies the named changes: label, model_name, base_url, params, is_default, is_active,
    expires_at, api_key.

    Raises as `add_credential`, and KeyNeeded for another base URL without the key.
    """
    key = changes.pop("api_key", None)
    make_default = changes.pop("is_default", None)
    if "base_url" in changes:
        changes["base_url"] = _own_base_url(credential.provider, changes["base_url"])
        if changes["base_url"] != credential.base_url and key is None:
            raise KeyNeeded
    if key is not None:
        credential.set_api_key(check_key(credential.provider, key))
    for name, value in changes.items():
        setattr(credential, name, value.strip() if isinstance(value, str) else value)
    if make_default is not None:
        credential.is_default = make_default
    with transaction.atomic():
        _lock(credential.owner)
        _refuse_twin(credential)
        if credential.is_default:
            others = LLMCredential.objects.filter(owner_id=credential.owner_id)
            others.active().exclude(pk=credential.pk).update(is_default=False)
        credential.save()
    return credential


def delete_credential(*, credential: LLMCredential) -> None:
    """Soft: the row stays for the books, no call can use it from now on."""
    credential.is_active = credential.is_default = False
    credential.deleted_at = timezone.now()
    credential.save(update_fields=["is_active", "is_default", "deleted_at", "updated_at"])


def _own_base_url(provider: str, base_url: str) -> str:
    """The checked URL; empty where the provider's own is meant."""
    if not base_url and not registry.get(provider).needs_base_url:
        return ""
    checked = check_base_url(provider, base_url)
    if not settings.CUSTOM_BASE_URLS:
        raise BaseURLsClosed
    return checked


def _lock(owner: Any) -> None:
    """One writer at a time per owner, or two first keys would both become the default."""
    if owner is not None:
        get_user_model().objects.select_for_update().get(pk=owner.pk)


def _refuse_twin(credential: LLMCredential) -> None:
    twins = LLMCredential.objects.active().filter(
        owner_id=credential.owner_id, provider=credential.provider, label=credential.label
    )
    if credential.is_active and twins.exclude(pk=credential.pk).exists():
        which = f"labelled “{credential.label}”" if credential.label else "without a label"
        raise AlreadyExists(provider=credential.provider_label, which=which)
