"""Functions that a model may call: `@tool` makes one of a Python function with type hints.

    @tool
    def add(a: Annotated[int, "The first number"], b: int = 0) -> str:
        '''Adds two numbers.'''

The docstring is what the model reads, the schema comes from the hints. What a function raises as
ToolError goes back to the model, which may do better next time.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, Field, ValidationError, create_model

from providers.vocabulary import JSON, Tool


class ToolError(Exception):
    """The sentence that the model gets in place of a result."""


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function and what the model is told of it."""

    tool: Tool
    function: Callable[..., Any]
    arguments: type[BaseModel]

    async def run(self, arguments: JSON) -> str:
        """The function's result as text. Raises ToolError, also for arguments that don't fit."""
        try:
            given = self.arguments.model_validate(arguments)
        except ValidationError as error:
            raise ToolError(_flaws(error)) from None
        values = {name: getattr(given, name) for name in self.arguments.model_fields}
        if inspect.iscoroutinefunction(self.function):
            return str(await self.function(**values))
        return str(await asyncio.to_thread(self.function, **values))


def tool(function: Callable[..., Any]) -> FunctionTool:
    """Makes a tool of a plain or async function."""
    arguments = _arguments_of(function)
    schema = _without_titles(arguments.model_json_schema())
    description = inspect.cleandoc(function.__doc__ or "")
    return FunctionTool(Tool(function.__name__, description, schema), function, arguments)


def _arguments_of(function: Callable[..., Any]) -> type[BaseModel]:
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (_described(hints[name]), default)
    return create_model(function.__name__, **fields)


def _described(hint: Any) -> Any:
    """A text in Annotated is the argument's description."""
    notes = getattr(hint, "__metadata__", ())
    text = next((note for note in notes if isinstance(note, str)), None)
    return hint if text is None else Annotated[hint.__origin__, Field(description=text)]


def _without_titles(schema: Any) -> Any:
    """Pydantic names everything twice; a model pays for each word."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_titles(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }


def _flaws(error: ValidationError) -> str:
    flaws = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    return f"These arguments don't fit. {'; '.join(flaws)}"
