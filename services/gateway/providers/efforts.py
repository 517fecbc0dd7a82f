"""How hard to think, in the words each OpenAI model knows.

Sources: developers.openai.com/api/docs/guides/reasoning and the refusals of the models
themselves ("Supported values are: …").
"""

import re

_GPT = re.compile(r"(?:^|/)gpt-(\d+)(?:\.(\d+))?")
_O_SERIES = re.compile(r"(?:^|/)o\d")
_LADDER = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def version(model: str) -> tuple[int, int]:
    """(5, 6) for gpt-5.6-sol; (0, 0) for a name that is no GPT's."""
    found = _GPT.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def reasons(model: str) -> bool:
    """Whether the name alone says that the model reasons, takes no sampling fields and wants
    `max_completion_tokens`."""
    return bool(_O_SERIES.search(model)) or version(model) >= (5, 0)


def known(model: str) -> tuple[str, ...]:
    release = version(model)
    if release >= (5, 6):
        return ("none", "low", "medium", "high", "xhigh", "max")
    if release >= (5, 2):
        lowest = () if "codex" in model else ("none",)
        return (*lowest, "low", "medium", "high", "xhigh")
    if release == (5, 1):
        return ("none", "low", "medium", "high")
    if release == (5, 0):
        return ("minimal", "low", "medium", "high")
    return ("low", "medium", "high")


def nearest(wanted: str, model: str) -> str:
    """The model's own word next to what was asked; "" leaves it to the model."""
    if not wanted:
        return ""
    words = known(model)
    place = 0 if wanted == "off" else _LADDER.index(wanted) if wanted in _LADDER else 3
    return min(words, key=lambda word: (abs(_LADDER.index(word) - place), _LADDER.index(word)))
