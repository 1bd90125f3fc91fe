from __future__ import annotations

from typing import Any

import factory
from django.contrib.auth.models import User
from factory.django import DjangoModelFactory, Password

from credentials.models import LLMCredential

SIMULATOR_KEYS = {
    "openai": "sk-sim-ok-1234567890",
    "anthropic": "sk-ant-sim-ok-1234567890",
    "google": "AIza-sim-ok-1234567890",
    "openai_compatible": "sim-ok-1234567890",
}


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"user{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.test")
    password = Password("correct horse battery")


class CredentialFactory(DjangoModelFactory[LLMCredential]):
    """A credential; its `key` is one that the simulator accepts unless another is given."""

    class Meta:
        model = LLMCredential

    owner = factory.SubFactory(UserFactory)
    provider = "openai"
    label = factory.Sequence(lambda n: f"key {n}")
    key = factory.LazyAttribute(lambda row: SIMULATOR_KEYS[row.provider])

    @classmethod
    def _create(cls, model_class: type[LLMCredential], *args: Any, **kwargs: Any) -> LLMCredential:
        key = kwargs.pop("key")
        credential = model_class(**kwargs)
        credential.set_api_key(key)
        credential.save()
        return credential
