"""Names that people give to models: `fast`, instead of a provider, a model and maybe a key."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from providers import registry

if TYPE_CHECKING:
    from credentials.models import LLMCredential

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
SHADOWS = "Models of {} begin like this. Choose a name that can't be taken for one of theirs."
OTHER_PROVIDER = "This key is for {}, and the model is to be of {}."


def _is_name(value: str) -> None:
    if not NAME.fullmatch(value):
        raise ValidationError(
            "Use small letters, digits, dots, dashes and underscores; begin with a letter or digit."
        )
    if maker := registry.provider_for_model(value):
        raise ValidationError(SHADOWS.format(registry.label(maker)))


def _is_provider(value: str) -> None:
    if value not in registry.names():
        raise ValidationError(str(registry.UnknownProvider()))


class AliasQuerySet(models.QuerySet["ModelAlias"]):
    def owned_by(self, owner: AbstractBaseUser | AnonymousUser) -> Self:
        return self.filter(owner_id=owner.pk) if owner.pk else self.none()

    def meant_by(self, owner: Any, name: str) -> ModelAlias | None:
        """The owner's alias of that name, if it is one. What can't be a name costs no query: nor
        does a model whose maker its own name tells."""
        if not NAME.fullmatch(name) or registry.provider_for_model(name):
            return None
        return self.owned_by(owner).filter(name=name).first()


class ModelAlias(models.Model):
    """A person's own name for a model. With a credential it says whose key pays, too: then that
    one or none, as if the caller had named it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="model_aliases"
    )
    name = models.CharField(
        max_length=64, validators=[_is_name], help_text="What programs ask for, such as “fast”."
    )
    provider = models.CharField(max_length=32, validators=[_is_provider])
    model_name = models.CharField(
        "model",
        max_length=128,
        validators=[RegexValidator(r"\A[\x21-\x7e]+\Z", "A model's name has no spaces.")],
        help_text="As the provider writes it.",
    )
    credential = models.ForeignKey(
        "credentials.LLMCredential",
        on_delete=models.CASCADE,  # emptied, the alias would go on with another key in silence
        null=True,
        blank=True,
        related_name="aliases",
        help_text="Calls by this name use this key. Empty: the usual order.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = AliasQuerySet.as_manager()

    class Meta:
        verbose_name = "model alias"
        verbose_name_plural = "model aliases"
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["owner", "name"],
                name="one_alias_of_a_name",
                violation_error_message="You have an alias of this name already.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def provider_label(self) -> str:
        return registry.label(self.provider)

    def fits(self, credential: LLMCredential) -> bool:
        """Whether a call on this credential may go by this name."""
        return self.provider == credential.provider and self.credential_id in (None, credential.pk)

    def clean(self) -> None:
        """Raises ValidationError for a credential that is not the owner's, or of another
        provider."""
        key = self.credential
        if key is None:
            return
        if key.owner_id != self.owner_id:
            raise ValidationError({"credential": "There is no such credential among yours."})
        if key.provider != self.provider:
            sentence = OTHER_PROVIDER.format(key.provider_label, self.provider_label)
            raise ValidationError({"credential": sentence})
