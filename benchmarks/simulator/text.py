"""What the simulator says: a few sensible answers, otherwise an echo. Same prompt, same text."""

import itertools
import random
import re
from collections.abc import Callable, Iterator

from benchmarks.simulator.arithmetic import find_expression, value_of
from benchmarks.simulator.prompt import Image, Message, Prompt

CAPITALS = {
    "france": "Paris",
    "germany": "Berlin",
    "italy": "Rome",
    "spain": "Madrid",
    "japan": "Tokyo",
    "portugal": "Lisbon",
    "austria": "Vienna",
    "poland": "Warsaw",
    "greece": "Athens",
    "canada": "Ottawa",
    "brazil": "Brasília",
    "india": "New Delhi",
    "china": "Beijing",
    "egypt": "Cairo",
    "australia": "Canberra",
    "england": "London",
}

HAIKU = "Keys of many hands,\none quiet gate lets them through:\nanswers fall like rain."

FILLER = """
    In other words the simulator keeps talking so that the number of tokens is known before the
    first one leaves and every measurement can be compared with the truth it started from
"""

_TRIM = " \t\n.?!:,\"'"


def answer(prompt: Prompt) -> str:
    """The text that answers the last user message, with the history in mind."""
    last = last_user(prompt)
    if last.images:
        return " ".join(map(_see, last.images))
    text = last.text.strip()[:20_000]
    for pattern, reply in RULES:
        match = pattern.search(text)
        if match:
            said = reply(match, prompt)
            if said:
                return said
    expression = find_expression(text)
    if expression:
        return f"{expression} = {value_of(expression)}"
    return f"You said: {text[:400]}" if text else "You said nothing."


def last_user(prompt: Prompt) -> Message:
    """The last user message, or an empty one."""
    for message in reversed(prompt.messages):
        if message.role == "user":
            return message
    return Message("user")


def results_in_turn(prompt: Prompt) -> tuple[Message, ...]:
    """Tool results since the model last spoke: what the next answer must be about."""
    after = itertools.takewhile(lambda m: m.role != "assistant", reversed(prompt.messages))
    return tuple(reversed([message for message in after if message.role == "tool"]))


def about_results(results: tuple[Message, ...]) -> str:
    """The sentence that carries tool results back to the user."""
    said = [f"{m.tool or 'the tool'} returned {m.text.strip()[:1000]}" for m in results]
    return f"Here is what I found: {'; '.join(said)}."


def filler(seed: int) -> Iterator[str]:
    """Endless words, the same for the same seed, each a token of its own."""
    choose, words = random.Random(seed), FILLER.split()
    while True:
        yield " " + choose.choice(words)[:7]


def _see(image: Image) -> str:
    size = "linked" if image.size is None else f"{image.size} bytes"
    return f"I see an image ({image.media_type}, {size})."


def _capital(match: re.Match[str], prompt: Prompt) -> str:
    country = match[1].lower()
    city = CAPITALS.get(country)
    return f"{city} is the capital of {match[1].title()}." if city else ""


def _recall(pattern: str) -> Callable[[Prompt], str]:
    compiled = re.compile(pattern, re.IGNORECASE)

    def recall(prompt: Prompt) -> str:
        for message in reversed(prompt.messages):
            found = compiled.search(message.text) if message.role == "user" else None
            if found:
                return found[1].strip(_TRIM)
        return ""

    return recall


_name = _recall(r"\b(?:my name is|call me)\s+([\w'-]+(?:\s[A-Z][\w'-]+)*)")
_number = _recall(r"\bremember (?:the |this |my )?(?:number|word|code)[^\w]*(?:is\s+)?([\w-]+)")


def _tell_name(match: re.Match[str], prompt: Prompt) -> str:
    name = _name(prompt)
    return f"Your name is {name}." if name else "You have not told me your name yet."


def _tell_number(match: re.Match[str], prompt: Prompt) -> str:
    number = _number(prompt)
    return f"You asked me to remember {number}." if number else ""


def _instructions(match: re.Match[str], prompt: Prompt) -> str:
    if not prompt.system:
        return "I have been given no instructions."
    return f"My instructions are: {prompt.system[:1000]}"


def _first_message(match: re.Match[str], prompt: Prompt) -> str:
    first = next((m.text for m in prompt.messages if m.role == "user"), "")
    return f"Your first message was: {first[:400]}"


def _count_to(match: re.Match[str], prompt: Prompt) -> str:
    return ", ".join(str(n) for n in range(1, min(int(match[1]), 1000) + 1)) + "."


def _explain(match: re.Match[str], prompt: Prompt) -> str:
    topic = match[1].strip(_TRIM)[:200]
    return (
        f"In short, {topic} is easier than it looks. First, see what it is for. Second, look at "
        f"its parts one by one. Third, try a small example. That is the essence of {topic}."
    )


def _compare(match: re.Match[str], prompt: Prompt) -> str:
    left, right = match[1].strip(_TRIM)[:100], match[2].strip(_TRIM)[:100]
    return (
        f"{left} and {right} have much in common. {left} is the simpler choice; {right} gives "
        f"more control. Choose {left} to begin with, and {right} when you have measured a need."
    )


Reply = Callable[[re.Match[str], Prompt], str]

RULES: tuple[tuple[re.Pattern[str], Reply], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), reply)
    for pattern, reply in (
        (r"capital (?:city )?of (?:the )?(\w+)", _capital),
        (r"what(?:'s| is| was) my name|who am i\b", _tell_name),
        (r"what (?:number|word|code) (?:did|do|was|should)", _tell_number),
        (r"what (?:are|were) your (?:system )?(?:instructions|prompt)", _instructions),
        (r"(?:what did i (?:say|ask)|my) first (?:message|question)?", _first_message),
        (
            r"^\W*(?:hi,? |hello,? )?my name is ([\w'-]+)\W*$",
            lambda m, p: f"Nice to meet you, {m[1]}.",
        ),
        (r"(?:say|repeat)(?: after me)?:\s*(.{1,400})", lambda m, p: m[1].strip()),
        (r"\bsay (?:only |just )?[\"'“](.{1,400}?)[\"'”]", lambda m, p: m[1]),
        (r"count (?:from 1 |from one )?to (\d{1,4})\b", _count_to),
        (r"\bhaiku\b", lambda m, p: HAIKU),
        (r"\bexplain (.{1,200})", _explain),
        (r"\bcompare (.{1,100}?) (?:and|with|to) (.{1,100})", _compare),
        (r"^\W*(?:hi|hello|hey|good (?:morning|day|evening))\b.{0,40}$", lambda m, p: HELLO),
        (r"\b(?:ping)\W*$", lambda m, p: "pong"),
    )
)

HELLO = "Hello! I am the BYOM provider simulator. How can I help you today?"
