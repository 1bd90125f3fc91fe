"""Which of the offered tools the answer calls, and with what arguments."""

import re
import uuid

from benchmarks.simulator.arithmetic import find_expression
from benchmarks.simulator.prompt import Call, Prompt, Tool
from benchmarks.simulator.schema import instance
from benchmarks.simulator.shapes import BadRequest
from benchmarks.simulator.text import last_user

TOPICS = ("time", "date", "clock", "weather", "temperature", "forecast", "translate", "search")
CALCULATES = re.compile(r"calc|arithmetic|math|expression|compute")
FETCHES = re.compile(r"fetch|http|url|browse|web page")
_URL = re.compile(r"https?://\S")
_WORD = re.compile(r"[a-z]+")


def calls_for(prompt: Prompt) -> tuple[Call, ...]:
    """The calls that this prompt asks for; empty when it should be answered in words."""
    if prompt.tool_choice == "none" or not prompt.tools:
        return ()
    chosen = _chosen(prompt)
    return tuple(_call(tool, prompt) for tool in chosen[: None if prompt.parallel else 1])


def _chosen(prompt: Prompt) -> list[Tool]:
    if prompt.tool_choice.startswith("="):
        return [_named(prompt, prompt.tool_choice[1:])]
    wanted = _wanted(prompt)
    if prompt.tool_choice == "required":
        return wanted or [prompt.tools[0]]
    done = _called_in_turn(prompt)
    return [tool for tool in wanted if tool.name not in done]


def _named(prompt: Prompt, name: str) -> Tool:
    for tool in prompt.tools:
        if tool.name == name:
            return tool
    raise BadRequest(f"Tool choice '{name[:64]}' not found in 'tools' parameter.", "tool_choice")


def _wanted(prompt: Prompt) -> list[Tool]:
    """The tools that the last user message names; if none, those whose topic it has."""
    text = last_user(prompt).text[:20_000]
    lower = text.lower()
    named = [tool for tool in prompt.tools if _is_named(tool, lower)]
    return named or [tool for tool in prompt.tools if _is_meant(tool, text)]


def _is_named(tool: Tool, lower: str) -> bool:
    name = tool.name.lower()
    return any(
        spelling and re.search(rf"(?<![\w-]){re.escape(spelling)}(?![\w-])", lower)
        for spelling in {name, name.replace("_", " ").replace("-", " ")}
    )


def _is_meant(tool: Tool, text: str) -> bool:
    about = f"{tool.name} {tool.description[:2000]}".lower()
    if CALCULATES.search(about) and find_expression(text):
        return True
    if FETCHES.search(about) and _URL.search(text):
        return True
    words, theirs = set(_WORD.findall(text.lower())), set(_WORD.findall(about))
    return any(topic in words and topic in theirs for topic in TOPICS)


def _called_in_turn(prompt: Prompt) -> set[str]:
    """Tools already called since the user last spoke."""
    called: set[str] = set()
    for message in reversed(prompt.messages):
        if message.role == "user":
            break
        called.update(call.name for call in message.calls)
    return called


def _call(tool: Tool, prompt: Prompt) -> Call:
    text = last_user(prompt).text
    value = instance({"type": "object", **tool.schema}, text, optional=False)
    arguments = value if isinstance(value, dict) else {}
    return Call(uuid.uuid4().hex[:24], tool.name, arguments)
