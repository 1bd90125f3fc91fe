"""Taking a request apart, field by field, so that none is overlooked."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any, Self

from gateway.errors import BadBody, Untranslatable
from providers.vocabulary import Image

_DATA_URL = re.compile(r"data:(?P<media_type>[\w.+-]+/[\w.+-]+);base64,(?P<data>.*)", re.DOTALL)
_USUAL_ALPHABET = str.maketrans("-_", "+/")
_NOTHING: tuple[Any, ...] = (None, [], {}, "")


class Fields:
    """A JSON object, of which each field has to be taken; `rest` refuses what was not.

    `path` is where the object stands in the request, for sentences.
    """

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise BadBody(flaw=f"{path or 'its body'} is not an object")
        self._left: dict[str, Any] = dict(value)
        self.path = path

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def take(self, name: str) -> Any:
        """The value, or None."""
        return self._left.pop(name, None)

    def text(self, name: str) -> str:
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise BadBody(flaw=f"{self.at(name)} is not a text")
        return value or ""

    def number(self, name: str) -> Any:
        value = self.take(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise BadBody(flaw=f"{self.at(name)} is not a number")
        return value

    def items(self, name: str) -> list[Any]:
        value = self.take(name)
        if value is not None and not isinstance(value, list):
            raise BadBody(flaw=f"{self.at(name)} is not a list")
        return value or []

    def texts(self, name: str) -> tuple[str, ...]:
        found = self.items(name)
        if not all(isinstance(value, str) for value in found):
            raise BadBody(flaw=f"{self.at(name)} is not a list of texts")
        return tuple(found)

    def mapping(self, name: str) -> dict[str, Any]:
        """An object that is not looked into."""
        value = self.take(name)
        if value is not None and not isinstance(value, dict):
            raise BadBody(flaw=f"{self.at(name)} is not an object")
        return value or {}

    def objects(self, name: str) -> Iterator[Self]:
        for number, value in enumerate(self.items(name)):
            yield type(self)(value, f"{self.at(name)}[{number}]")

    def object(self, name: str) -> Self:
        """The object of that name, an empty one where there is none."""
        value = self.take(name)
        return type(self)({} if value is None else value, self.at(name))

    def choice(self, name: str, meanings: Mapping[Any, Any], otherwise: Any = None) -> Any:
        """What the value means. Raises Untranslatable for one that `meanings` does not know."""
        value = self.take(name)
        if value is None:
            return otherwise
        if not isinstance(value, str) or value not in meanings:
            raise Untranslatable(field=self.at(name))
        return meanings[value]

    def skip(self, *names: str) -> None:
        """Fields that do not change an answer."""
        for name in names:
            self._left.pop(name, None)

    def usual(self, **values: Any) -> None:
        """Fields that may stand there with the value that they have anyway."""
        for name, value in values.items():
            if self._left.get(name) == value:
                del self._left[name]

    def rest(self) -> None:
        """Raises Untranslatable for the first field that was not taken and says something."""
        for name, value in self._left.items():
            if value not in _NOTHING:
                raise Untranslatable(field=self.at(name))

    def untranslatable(self, name: str) -> Untranslatable:
        return Untranslatable(field=self.at(name))


def inline_image(media_type: str, data: object, path: str) -> Image:
    """Raises BadBody for what is not base64, in either of its alphabets: Google's SDK
    writes that for addresses."""
    text = data.translate(_USUAL_ALPHABET) if isinstance(data, str) else ""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raw = b""
    if not raw or not media_type:
        raise BadBody(flaw=f"{path} holds no image in base64")
    return Image(media_type, raw)


def image_of_data_url(url: str, path: str) -> Image:
    """Raises Untranslatable for an image that stands elsewhere: nobody here fetches it."""
    found = _DATA_URL.fullmatch(url)
    if found is None:
        raise Untranslatable(field=path)
    return inline_image(found["media_type"], found["data"], path)
