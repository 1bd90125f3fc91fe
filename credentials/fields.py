"""A model field that seals text, and the `Secret` that a reader gets instead of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, TypeVar

from cryptography.fernet import InvalidToken
from django.core.exceptions import FieldError
from django.db import connections, models
from django.db.models.functions import Left
from django.db.models.query_utils import DeferredAttribute
from fernet_fields import EncryptedTextField

from credentials.vault import PURPOSES, VERSION, MissingKey, Tampered, reveals, ring

MASK = "********"


class SealedToken(str):
    """Ciphertext as it is stored, to tell it from text that is still to be sealed."""

    __slots__ = ()


class Secret:
    """Stands for a sealed text. Only `reveal()` opens it; nothing prints it.

    It can't be pickled, so it can't reach a cache, a task or a session store.
    """

    __slots__ = ("_opened", "_opener", "_plaintext", "token")

    def __init__(
        self,
        *,
        token: SealedToken | None = None,
        plaintext: str | None = None,
        opener: Callable[[str], Callable[[], str]] | None = None,
    ) -> None:
        self.token = token
        self._plaintext = plaintext
        self._opener = opener
        self._opened: Callable[[], str] | None = None

    def reveal(self, purpose: str) -> str:
        """The text itself. `purpose` says what for, one of `vault.PURPOSES`; opening a sealed
        text is counted under it in `vault.reveals`.

        Raises MissingKey or Tampered, and ValueError for a purpose that nobody agreed to.
        """
        if purpose not in PURPOSES:
            raise ValueError(f"{purpose!r} is not a purpose to open a key for: see vault.PURPOSES.")
        if self._plaintext is not None:
            return self._plaintext
        opened = self._opened
        if opened is None:
            if self.token is None or self._opener is None:
                raise MissingKey
            opened = self._opener(self.token)
        reveals.count(purpose)
        return opened()

    def bound(self) -> Secret:
        """The same, bound for good to what its row is now: it opens sooner, time after time.
        Raises as `reveal` does."""
        if self.token is None or self._opener is None:
            return self
        bound = Secret(token=self.token)
        bound._opened = self._opener(self.token)
        return bound

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
                return Secret(token=value, opener=lambda token: self.opener(token, instance))
            case str():
                return Secret(plaintext=value)
        raise FieldError(f"{self.name} takes text, not {type(value).__name__}.")

    def binding(self, instance: models.Model) -> tuple[str, ...]:
        values = (getattr(instance, name) for name in self.bound_to)
        return (self.context, *("" if value is None else str(value) for value in values))

    def seal(self, plaintext: str, instance: models.Model) -> SealedToken:
        """A token under the ring's current key that opens for `instance` only."""
        return SealedToken(ring().seal(plaintext, self.binding(instance)))

    def open(self, token: str, instance: models.Model) -> str:
        return self.opener(token, instance)()

    def opener(self, token: str, instance: models.Model) -> Callable[[], str]:
        if token.startswith(f"{VERSION}:"):
            return ring().opener(token, self.binding(instance))
        return lambda: self.open_fernet(token)

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
        token = self.seal(plaintext, model_instance)
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

    model: type[Row]

    def sealed(self) -> Self:
        """Rows that hold something sealed: purged ones, and those that never had it, don't."""
        return self.filter(**{f"{_sealed_field(self.model)}__isnull": False})

    def not_on_key(self, kid: str) -> Self:
        """What another encryption key than `kid` has sealed."""
        head = f"{VERSION}:{kid}:"
        rows = self.sealed().alias(head=Left(_sealed_field(self.model), len(head)))
        return rows.exclude(head=head, key_kid=kid)

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

    def swap_token(self, name: str, *, pk: Any, old: str, new: str, **values: Any) -> bool:
        """Puts token `new` in the place of exactly `old` in one statement, with `values` into
        other columns. False when the row no longer holds `old`: somebody was faster.

        Raw SQL, because the field refuses every lookup and every update on purpose.
        """
        meta, connection = self.model._meta, connections[self.db]
        quote = connection.ops.quote_name
        fields: list[Any] = [meta.get_field(name), *map(meta.get_field, values)]
        columns = [quote(field.column) for field in fields]
        assignments = ", ".join(f"{column} = %s" for column in columns)
        # An imported Fernet token may be bytes to SQLite, which equal no text.
        sql = (
            f"UPDATE {quote(meta.db_table)} SET {assignments} "
            f"WHERE {quote(str(meta.pk.column))} = %s AND CAST({columns[0]} AS TEXT) = %s"
        )
        pairs = zip(fields[1:], values.values(), strict=True)
        others = [field.get_db_prep_save(value, connection) for field, value in pairs]
        with connection.cursor() as cursor:
            cursor.execute(sql, [new, *others, meta.pk.get_db_prep_value(pk, connection), old])
            return bool(cursor.rowcount)


def _sealed_field(model: Any) -> str:
    return str(model.sealed_field)


class SealedModel(models.Model):
    """A row with a SealedTextField, and columns derived from its text, of which `key_kid` names
    the encryption key. `credentials.rotation` finds every model of this kind by itself.

    Saving a row whose key was not given anew leaves the key alone, with all that is derived
    from it: since the row was read a rotation may have sealed it again, or a person replaced
    it, and writing back what was read would undo that.
    """

    sealed_field: ClassVar[str]
    derived_fields: ClassVar[frozenset[str]] = frozenset({"key_kid"})

    key_kid = models.CharField(max_length=16, editable=False)

    class Meta:
        abstract = True

    @property
    def secret(self) -> Secret | None:
        """What is sealed, whatever the model calls it."""
        found: Secret | None = getattr(self, self.sealed_field)
        return found

    def derived_from(self, plaintext: str) -> dict[str, Any]:
        """The columns that a new encryption key changes, for `plaintext` sealed under it."""
        return {"key_kid": ring().current}

    def save(self, *args: Any, **kwargs: Any) -> None:
        is_update = not (args or self._state.adding or kwargs.keys() & {"force_insert"})
        if is_update and kwargs.get("update_fields") is None and self._key_is_as_read():
            kwargs["update_fields"] = self._all_but_the_key()
        super().save(*args, **kwargs)

    def _key_is_as_read(self) -> bool:
        secret = self.__dict__.get(self.sealed_field, Secret(token=SealedToken()))  # deferred
        return isinstance(secret, Secret) and secret.token is not None

    def _all_but_the_key(self) -> set[str]:
        loaded = {field.attname for field in self._meta.concrete_fields if not field.primary_key}
        return loaded - {self.sealed_field} - self.derived_fields - self.get_deferred_fields()
