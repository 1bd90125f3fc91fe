"""Writes to credentials that take more than one step. All arguments are keyword-only.

Every one leaves its event in the audit trail, in the same transaction as the change.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from credentials import notices
from credentials.errors import (
    AlreadyExists,
    BaseURLsClosed,
    CannotTest,
    CredentialInactive,
    KeyNeeded,
    NewKeyFailed,
)
from credentials.models import LLMCredential
from credentials.signals import credential_ended
from credentials.trail import Action, Outcome, record
from credentials.validation import Validation, validate_key
from providers import registry
from providers.keys import check_key, check_own_base_url


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
    validate: bool = False,
) -> LLMCredential:
    """A new active credential. The owner's first one becomes the default.

    With `validate` the key is tested first. Raises registry.UnknownProvider, KeyRefused,
    BaseURLRefused, BaseURLsClosed, AlreadyExists, and with `validate` NewKeyFailed and CannotTest;
    then nothing is stored.
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
    if validate:
        _test_new_key(credential, credential.api_key.reveal("validate"))
    with transaction.atomic():
        _lock(owner)
        others = _others(credential).active()
        credential.is_default = not others.exists() if is_default is None else is_default
        _refuse_twin(credential)
        if credential.is_default:
            others.update(is_default=False)
        credential.save(force_insert=True)
        record(Action.CREATE, credential)
    return credential


def update_credential(*, credential: LLMCredential, **changes: Any) -> LLMCredential:
    """Applies the named changes: label, model_name, base_url, params, is_default, expires_at.

    Raises BaseURLRefused, BaseURLsClosed, AlreadyExists, and KeyNeeded for another base URL:
    that goes through `rotate_key`.
    """
    if "base_url" in changes:
        changes["base_url"] = _own_base_url(credential.provider, changes["base_url"])
        if changes["base_url"] != credential.base_url:
            raise KeyNeeded
    if "expires_at" in changes:
        credential.reminded_days = None
    for name, value in changes.items():
        setattr(credential, name, value.strip() if isinstance(value, str) else value)
    fields = [*changes, "reminded_days", "updated_at"]
    with transaction.atomic():
        _lock(credential.owner)
        _refuse_twin(credential)
        if changes.get("is_default"):
            _others(credential).active().update(is_default=False)
        credential.save(update_fields=fields)
        record(Action.UPDATE, credential, detail=", ".join(sorted(changes)))
    return credential


def set_default(*, credential: LLMCredential) -> LLMCredential:
    """Makes it its owner's only default."""
    with transaction.atomic():
        _lock(credential.owner)
        _others(credential).active().update(is_default=False)
        credential.is_default = True
        credential.save(update_fields=["is_default", "updated_at"])
        record(Action.SET_DEFAULT, credential)
    return credential


def rotate_key(
    *, credential: LLMCredential, api_key: str, base_url: str | None = None, validate: bool = True
) -> LLMCredential:
    """Replaces the key (and, only together with it, the host), in one statement.

    The new key is tested first, unless `validate` is off. Calls in flight go on with the old
    one, which no later call can get. Raises KeyRefused, BaseURLRefused, BaseURLsClosed,
    NewKeyFailed and CannotTest; then the old key stays.
    """
    key = check_key(credential.provider, api_key)
    if base_url is not None:
        credential.base_url = _own_base_url(credential.provider, base_url)
    credential.set_api_key(key)
    if validate:
        _test_new_key(credential, key)
    with transaction.atomic():
        credential.save(update_fields=[*KEY_FIELDS, "base_url", "updated_at"])
        record(Action.ROTATE, credential)
    return credential


KEY_FIELDS = (
    "api_key",
    "key_kid",
    "last4",
    "fingerprint",
    "is_simulated",
    "last_validated_at",
    "last_error",
    "quarantined_at",
    "quarantine_reason",
)


def validate_credential(*, credential: LLMCredential) -> Validation:
    """Tests the stored key. Success lifts a quarantine, a provider's refusal begins one.

    Raises CredentialInactive, vault.Unreadable and CannotTest.
    """
    if not credential.is_active:
        raise CredentialInactive(label=credential.name)
    try:
        test = _tested(credential, credential.api_key.reveal("validate"))
    except CannotTest as error:
        record(Action.VALIDATE, credential, outcome=Outcome.FAILED, detail=error.code)
        raise
    if test.is_valid:
        credential.lift_quarantine()
        credential.last_validated_at = test.tested_at
    else:
        credential.last_error = test.message[:500]
        credential.quarantine(test.message)
    fields = ["last_validated_at", "last_error", "quarantined_at", "quarantine_reason"]
    with transaction.atomic():
        credential.save(update_fields=[*fields, "updated_at"])
        outcome = Outcome.OK if test.is_valid else Outcome.FAILED
        record(Action.VALIDATE, credential, outcome=outcome)
    return test


def validate_unsaved_key(
    *, owner: Any, provider: str, api_key: str, base_url: str = "", model_name: str = ""
) -> Validation:
    """Tests a key that is not stored. Raises as `add_credential` does, and CannotTest."""
    return validate_key(
        provider=registry.get(provider).name,
        api_key=check_key(provider, api_key),
        base_url=_own_base_url(provider, base_url),
        model_name=model_name,
        owner_id=owner.pk,
    )


def delete_credential(*, credential: LLMCredential) -> None:
    """Soft: the row stays for the books, no call can use it from now on, the sessions that run on
    it end, and the owner is told. The ciphertext goes after the grace period."""
    credential.is_active = credential.is_default = False
    credential.deleted_at = timezone.now()
    with transaction.atomic():
        credential.save(update_fields=["is_active", "is_default", "deleted_at", "updated_at"])
        reason = f"Its key {credential.name} ({credential.api_key_masked}) was deleted."
        answers = credential_ended.send(sender=LLMCredential, credential=credential, reason=reason)
        ended = sum(int(count or 0) for _, count in answers)
        record(Action.DELETE, credential)
        transaction.on_commit(lambda: notices.credential_deleted(credential, ended))


def _test_new_key(credential: LLMCredential, key: str) -> None:
    test = _tested(credential, key)
    if not test.is_valid:
        raise NewKeyFailed(reason=test.message)
    credential.last_validated_at = test.tested_at


def _tested(credential: LLMCredential, key: str) -> Validation:
    return validate_key(
        provider=credential.provider,
        api_key=key,
        base_url=credential.base_url,
        model_name=credential.model_name,
        owner_id=credential.owner_id,
        credential_id=None if credential._state.adding else credential.pk,
    )


def _own_base_url(provider: str, base_url: str) -> str:
    """The checked URL; empty where the provider's own is meant."""
    if not base_url and not registry.get(provider).needs_base_url:
        return ""
    checked = check_own_base_url(provider, base_url)
    if not settings.CUSTOM_BASE_URLS:
        raise BaseURLsClosed
    return checked


def _others(credential: LLMCredential) -> Any:
    same_owner = LLMCredential.objects.filter(owner_id=credential.owner_id)
    return same_owner.exclude(pk=credential.pk)


def _lock(owner: Any) -> None:
    """One writer at a time per owner, or two first keys would both become the default."""
    if owner is not None:
        get_user_model().objects.select_for_update().get(pk=owner.pk)


def _refuse_twin(credential: LLMCredential) -> None:
    twins = _others(credential).active()
    same = twins.filter(provider=credential.provider, label=credential.label)
    if credential.is_active and same.exists():
        which = f"labelled “{credential.label}”" if credential.label else "without a label"
        raise AlreadyExists(provider=credential.provider_label, which=which)
