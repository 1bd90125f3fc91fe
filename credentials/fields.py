"""A model field that seals text, and the `Secret` that a reader gets instead of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from cryptography.fernet import InvalidToken
from django.core.exceptions import FieldError
from django.db import models
from django.db.models.query_utils import DeferredAttribute
from fernet_fields import EncryptedTextField

from credentials.vault import VERSION, MissingKey, Tampered, ring

MASK = "********"


class SealedToken(str):
    """Ciphertext as it is stored, to tell it from text that is still to be sealed."""

    __slots__ = ()


class Secret:
    """Stands for a sealed text. Only `reveal()` opens it; nothing prints it.

    It can't be pickled, so it can't reach a cache, a task or a session store.
    """

    __slots__ = ("_open", "_plaintext", "token")

    def __init__(
        self,
        *,
        token: SealedToken | None = None,
        plaintext: str | None = None,
        open_token: Callable[[str], str] | None = None,
    ) -> None:
        self.token = token
        self._plaintext = plaintext
        self._open = open_token

    def reveal(self, purpose: str) -> str:
        """The text itself. `purpose` says what for, in a word ("call", "validate", "rotate").

        Raises MissingKey or Tampered.
        """
        if self._plaintext is not None:
            return self._plaintext
        if self.token is None or self._open is None:
            raise MissingKey
        return self._open(self.token)

    def __bool__(self) -> bool:
        return bool(self.token or self._plaintext)

    def __repr__(self) -> str:
        return f"<Secret {MASK}>"

    __str__ = __repr__

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("A Secret can't be pickled.")


class SealedAttribute(DeferredAttribute):
    """Turns whatever is assigned into a Secret that is bound to the instance's row."""

    field: Any  # the SealedTextField; its own type would be read as a descriptor here

    def __set__(self, instance: models.Model, value: object) -> None:
        instance.__dict__[self.field.attname] = self.field.as_secret(value, instance)


class SealedTextField(EncryptedTextField):  # type: ignore[misc]  # the package has no types
    """Text sealed with AES-256-GCM under `credentials.vault`, bound to its row.

    `context` is a fixed string and `bound_to` are attribute names whose values the ciphertext
    is bound to: copied into another row it raises Tampered. Reading gives a `Secret`; assigning
    takes a str (sealed on save) or a Secret (written back byte for byte). Fernet tokens of an
    import stay readable through FERNET_KEYS until they are rotated.
    """

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: object) -> Secret: ...

        def __set__(self, instance: object, value: str | Secret | None) -> None: ...

    descriptor_class = SealedAttribute
    _internal_type = "TextField"

    def __init__(
        self, *args: Any, context: str, bound_to: Sequence[str] = ("pk", "owner_id"), **kwargs: Any
    ) -> None:
        self.context = context
        self.bound_to = tuple(bound_to)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "context": self.context, "bound_to": self.bound_to}

    def as_secret(self, value: object, instance: models.Model) -> Secret | None:
        match value:
            case None | Secret():
                return value
            case SealedToken():
                return Secret(token=value, open_token=lambda token: self.open(token, instance))
            case str():
                return Secret(plaintext=value)
        raise FieldError(f"{self.name} takes text, not {type(value).__name__}.")

    def binding(self, instance: models.Model) -> tuple[str, ...]:
        values = (getattr(instance, name) for name in self.bound_to)
        return (self.context, *("" if value is None else str(value) for value in values))

    def open(self, token: str, instance: models.Model) -> str:
        if token.startswith(f"{VERSION}:"):
            return ring().open(token, self.binding(instance))
        return self.open_fernet(token)

    def open_fernet(self, token: str) -> str:
        if not self.keys:
            raise MissingKey
        try:
            return str(self.fernet.decrypt(token.encode()).decode())
        except (InvalidToken, ValueError):
            raise Tampered from None

    def pre_save(self, model_instance: models.Model, add: bool) -> SealedToken | None:
        secret = getattr(model_instance, self.attname)
        if secret is None or secret.token is not None:
            return secret.token if secret else None
        plaintext = secret.reveal("seal")
        if plaintext.startswith(f"{VERSION}:"):
            raise FieldError(f"{self.name} was given a sealed token where it takes a key.")
        token = SealedToken(ring().seal(plaintext, self.binding(model_instance)))
        setattr(model_instance, self.attname, token)
        return token

    def get_db_prep_save(self, value: Any, connection: Any) -> str | None:
        token = value.token if isinstance(value, Secret) else value  # loaddata skips pre_save
        if token is None and value is None:
            return None
        if isinstance(token, SealedToken):
            return str(token)
        raise FieldError(f"{self.name} is sealed: assign to one instance and save() it.")

    def get_prep_value(self, value: Any) -> Any:
        return value

    def from_db_value(self, value: Any, *args: Any) -> SealedToken | None:
        if value is None:
            return None
        # Imported rows come from the package's own binary column.
        text = value if isinstance(value, str) else bytes(value).decode("ascii", "replace")
        return SealedToken(text)

    def to_python(self, value: Any) -> Any:
        """`loaddata` comes through here with what `value_to_string` wrote."""
        if isinstance(value, str) and value.startswith(f"{VERSION}:"):
            return SealedToken(value)
        return value

    def value_to_string(self, obj: models.Model) -> str:
        """For `dumpdata`: the ciphertext, never the text."""
        secret = self.value_from_object(obj)
        return str(secret.token) if secret and secret.token else ""


Row = TypeVar("Row", bound=models.Model)


class SealedQuerySet(models.QuerySet[Row]):
    """Refuses the bulk writes that would go round the sealing (and round the binding)."""

    def _sealed(self, names: Sequence[str]) -> None:
        for name in names:
            if isinstance(self.model._meta.get_field(name), SealedTextField):
                raise FieldError(f"{name} is sealed: assign to one instance and save() it.")

    def update(self, **kwargs: Any) -> int:
        self._sealed([name for name in kwargs if name != "pk"])
        return super().update(**kwargs)

    def bulk_update(self, objs: Any, fields: Any, batch_size: int | None = None) -> int:
        self._sealed(fields)
        return super().bulk_update(objs, fields, batch_size)

    def bulk_create(self, objs: Any, *args: Any, **kwargs: Any) -> Any:
        self._sealed(kwargs.get("update_fields") or ())
        return super().bulk_create(objs, *args, **kwargs)
