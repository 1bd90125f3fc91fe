"""The models that the simulator offers: names that `genai-prices` knows, as of 2025.

Any other name with the provider's usual prefix is accepted too. The OpenAI dialect also takes
the names that local servers (Ollama, vLLM, …) use, because OpenAI-compatible providers share it.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Model:
    """One row of a provider's model list. `served` is the dated name in answers."""

    id: str
    served: str
    created: int
    context: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A provider's models and the names it accepts beside them."""

    models: tuple[Model, ...]
    accepts: re.Pattern[str]
    context: int

    def find(self, name: str) -> Model | None:
        """The model of that name, or None when the provider would answer 404."""
        for model in self.models:
            if name in (model.id, model.served):
                return model
        if self.accepts.match(name):
            return Model(name, name, 1_735_689_600, self.context, name)
        return None


OPENAI = Catalogue(
    (
        Model("gpt-4o-mini", "gpt-4o-mini-2024-07-18", 1_721_172_741, 128_000),
        Model("gpt-4o", "gpt-4o-2024-08-06", 1_715_367_049, 128_000),
        Model("gpt-4.1", "gpt-4.1-2025-04-14", 1_744_316_542, 1_047_576),
        Model("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", 1_744_318_173, 1_047_576),
        Model("gpt-5", "gpt-5-2025-08-07", 1_754_425_777, 400_000),
        Model("gpt-5-mini", "gpt-5-mini-2025-08-07", 1_754_425_928, 400_000),
        Model("gpt-3.5-turbo", "gpt-3.5-turbo-0125", 1_677_610_602, 16_385),
        Model("text-embedding-3-small", "text-embedding-3-small", 1_705_948_997, 8_192),
    ),
    re.compile(
        r"(sim-|gpt-|chatgpt-|o[1-9]|ft:|text-embedding-|codex-|llama|meta-llama|qwen|mistral"
        r"|mixtral|ministral|codestral|gemma|phi|deepseek|command|openai/|nomic-embed).{0,200}$",
        re.IGNORECASE,
    ),
    128_000,
)

ANTHROPIC = Catalogue(
    (
        Model(
            "claude-haiku-4-5",
            "claude-haiku-4-5-20251001",
            1_760_486_400,
            200_000,
            "Claude Haiku 4.5",
        ),
        Model(
            "claude-sonnet-4-5",
            "claude-sonnet-4-5-20250929",
            1_759_104_000,
            200_000,
            "Claude Sonnet 4.5",
        ),
        Model(
            "claude-3-5-haiku-latest",
            "claude-3-5-haiku-20241022",
            1_729_555_200,
            200_000,
            "Claude Haiku 3.5",
        ),
        Model(
            "claude-3-haiku-20240307",
            "claude-3-haiku-20240307",
            1_709_769_600,
            200_000,
            "Claude Haiku 3",
        ),
    ),
    re.compile(r"claude-.{1,200}$"),
    200_000,
)

GOOGLE = Catalogue(
    (
        Model("gemini-2.5-pro", "gemini-2.5-pro", 1_750_118_400, 1_048_576, "Gemini 2.5 Pro"),
        Model("gemini-2.5-flash", "gemini-2.5-flash", 1_750_118_400, 1_048_576, "Gemini 2.5 Flash"),
        Model("gemini-2.0-flash", "gemini-2.0-flash", 1_738_713_600, 1_048_576, "Gemini 2.0 Flash"),
        Model(
            "gemini-1.5-flash", "gemini-1.5-flash-002", 1_727_136_000, 1_048_576, "Gemini 1.5 Flash"
        ),
        Model(
            "gemini-embedding-001",
            "gemini-embedding-001",
            1_752_451_200,
            2_048,
            "Gemini Embedding 001",
        ),
    ),
    re.compile(r"(gemini-|gemma-|text-embedding-).{1,200}$"),
    1_048_576,
)
