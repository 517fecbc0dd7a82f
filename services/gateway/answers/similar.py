"""An answer that was given to the same question in other words (mode `semantic`).

Only for a single question in plain text, without tools, that is otherwise asked alike: same
tenant, model, system prompt and parameters. The nearest earlier questions are few and kept
sealed; a hit needs the whole texts alike, whatever was replaced alike by itself, and nothing else
different (`sameness`). An answer found in this way is never stored again under the new words,
so that meaning cannot drift from hit to hit.
"""

from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from services.gateway.answers.names import frame_of
from services.gateway.answers.sameness import replaced
from services.gateway.call import Asked, Call
from services.gateway.embedder import Embedder, similarity
from services.gateway.kit import Kit

# Of the similar questions, so many are looked at word by word.
LOOKED_AT = 3


class TextBlock(Struct, forbid_unknown_fields=True):
    type: Literal["text"]
    text: str
    cache_control: Any = None


class Question(Struct, forbid_unknown_fields=True):
    role: Literal["user"]
    content: str | list[TextBlock]


ONE_QUESTION = msgspec.json.Decoder(tuple[Question])


async def names_of_similar(kit: Kit, embedder: Embedder, call: Call) -> AsyncIterator[str]:
    """The names of the answers to the same question, the nearest first. The call remembers the
    question, to be found by later ones."""
    settings = kit.settings.gateway.cache.semantic
    text = question_of(call)
    vectors = await embedder.vectors([text]) if 0 < len(text) <= settings.max_chars else None
    if not vectors:
        return
    asked = call.asked = Asked(text=text, vector=vectors[0], answer=call.cache_name)
    near = [
        (similarity(asked.vector, each.vector), each)
        for each in await kit.vault.listed(_shelf(call), Asked)
    ]
    near.sort(key=lambda pair: -pair[0])
    call.similarity = near[0][0] if near else 0.0
    for found, each in near[:LOOKED_AT]:
        if found >= settings.similarity and await _same(embedder, text, each.text, settings.words):
            call.similarity = found
            yield each.answer


async def remember(kit: Kit, call: Call, message: dict[str, Any]) -> None:
    """Let later questions find this answer, if it is one of words alone."""
    content = message.get("content", [])
    words = content and all(block.get("type") == "text" for block in content)
    if call.asked is None or not words or message.get("stop_reason") != "end_turn":
        return
    settings = kit.settings.gateway.cache
    await kit.vault.push(_shelf(call), call.asked, settings.semantic.candidates, settings.ttl)


def question_of(call: Call) -> str:
    """The one question in words that a request consists of; empty where it is more than that."""
    if "tools" in call.fields:
        return ""
    try:
        (question,) = ONE_QUESTION.decode(call.fields.get("messages", b""))
    except msgspec.MsgspecError:
        return ""
    if isinstance(question.content, str):
        return question.content
    return "\n\n".join(block.text for block in question.content)


async def _same(embedder: Embedder, one: str, other: str, least: float) -> bool:
    """Nothing may differ but words that mean the same by themselves, too: in a long text one
    other word hardly moves the vector of the whole."""
    pairs = replaced(one, other)
    if not pairs:
        return pairs is not None
    vectors = await embedder.vectors([phrase for pair in pairs for phrase in pair])
    return vectors is not None and all(
        similarity(a, b) >= least for a, b in zip(vectors[::2], vectors[1::2], strict=True)
    )


def _shelf(call: Call) -> str:
    return f"asked:{frame_of(call)}"
