"""A whole answer as something to mask: what the model says in it, and only that."""

from collections.abc import Mapping, Sequence

from msgspec import Raw, Struct, field

from libs.common.contracts.pii import Finding
from services.gateway.masking import jsontext
from services.gateway.masking.apply import Masked, apply
from services.gateway.masking.blocks import TOOL_USES, Block, Fields, Key, collect
from services.gateway.masking.placeholders import Placeholders
from services.gateway.masking.policy import Policy
from services.gateway.masking.restore import Lexicon

SAID = {"text", *TOOL_USES}
PLACE = "messages[0]."


class Answer(Struct, frozen=True):
    """`said` are the numbers of the content blocks that the model's words are in; `fields` has
    them, each at its number, as a request would; `blocks` are their texts."""

    message: Fields
    content: list[Raw]
    said: set[int]
    fields: Fields
    blocks: list[Block]

    @classmethod
    def of(cls, body: bytes) -> "Answer | None":
        """None if there is nothing in it that could be masked."""
        message = jsontext.members(body)
        content = jsontext.items(message["content"]) if message and "content" in message else None
        if not message or not content:
            return None
        said = {number for number, item in enumerate(content) if _kind(item) in SAID}
        parts = [item if number in said else None for number, item in enumerate(content)]
        turn = {"role": "assistant", "content": parts}
        fields = {"messages": jsontext.encoded([turn])}
        return cls(message, content, said, fields, collect(fields))

    def masked(
        self,
        findings: Mapping[Key, Sequence[Finding]],
        policy: Policy,
        placeholders: Placeholders,
        mapping: Mapping[str, str],
    ) -> "MaskedAnswer":
        """`mapping` is the request's: its placeholders stand for values of the client."""
        if mapping:
            lexicon = Lexicon(mapping)
            findings = {
                block.key: [
                    found
                    for found in findings.get(block.key, ())
                    if not lexicon.overlaps(block.text, found.start, found.end)
                ]
                for block in self.blocks
            }
        done = apply(self.fields, self.blocks, findings, policy, placeholders)
        blocked = (done.blocked[0], done.blocked[1].removeprefix(PLACE)) if done.blocked else None
        return MaskedAnswer(
            message=self._with(done), counts=done.counts, made=set(done.mapping), blocked=blocked
        )

    def _with(self, done: Masked) -> Fields:
        if done.fields is self.fields:
            return self.message
        turn = jsontext.members((jsontext.items(done.fields["messages"]) or [])[0]) or {}
        new = jsontext.items(turn["content"]) or []
        content = [new[n] if n in self.said else item for n, item in enumerate(self.content)]
        return {**self.message, "content": jsontext.encoded(content)}


class MaskedAnswer(Struct, frozen=True, kw_only=True):
    message: Fields
    counts: dict[str, int]
    made: set[str] = field(default_factory=set)
    blocked: tuple[str, str] | None = None


def _kind(item: Raw) -> str | None:
    fields = jsontext.members(item) or {}
    return jsontext.string(fields["type"]) if "type" in fields else None
