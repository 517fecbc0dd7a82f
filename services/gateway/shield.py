"""Mask a request: what pii has not seen yet is scanned, then every finding is exchanged.

pii finds, the gateway masks: only offsets travel back, and the secret that makes placeholders
never leaves the gateway.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from libs.common.contracts.base import SPLIT_AT
from libs.common.contracts.identity import Key, Principal
from libs.common.contracts.pii import SCAN, Finding, Findings, Scan
from libs.common.errors import InvalidRequest, PiiBlocked, Unavailable
from libs.common.telemetry import PII_OPEN
from services.gateway.call import Call
from services.gateway.kit import Kit
from services.gateway.masking import Block, Placeholders, Policy, apply, collect
from services.gateway.masking.blocks import Key as BlockKey
from services.gateway.masking.cache import Spans

MAX_AT_ONCE = 8
# Characters of one window of a large text, and how much two windows share: no finding is
# longer (a PEM key has some 3 000 characters).
WINDOW, OVERLAP = 500_000, 16_384


async def shield(kit: Kit, call: Call) -> None:
    """Put the masked body into the call. Raises PiiBlocked, Unavailable (pii away, closed)."""
    call.fields = call.body.fields
    policy = policy_of(kit, call)
    if policy.idle:
        return
    if call.features.thread:
        raise _no_threads()
    started = time.monotonic()
    blocks = collect(call.body.fields)
    org = call.principal.org
    known, unseen = kit.spans.lookup(blocks, org)
    if unseen:
        known |= await scanned(kit, call, unseen)
    masked = apply(call.body.fields, blocks, known, policy, placeholders_of(kit, call), kit.spans)
    call.timings.pii = time.monotonic() - started
    call.fields, call.mapping, call.pii = masked.fields, masked.mapping, masked.counts
    call.recorded = kit.settings.audit.bodies == "masked" and not call.unscanned
    if masked.blocked:
        kind, place = masked.blocked
        raise PiiBlocked(
            f"{place}: holds {kind}, which the policy of this key does not let through; "
            "remove it and send again",
            {"entity": kind, "place": place},
        )


class Asker(Protocol):
    """For whom texts are masked: as much of a call as that needs."""

    @property
    def id(self) -> str: ...

    @property
    def key(self) -> Key: ...

    @property
    def principal(self) -> Principal: ...

    unscanned: bool


def policy_of(kit: Kit, call: Asker) -> Policy:
    return Policy.of(
        kit.settings.pii, call.key.pii, team=call.principal.team, key=call.principal.key_name
    )


def placeholders_of(kit: Kit, call: Asker) -> Placeholders:
    """The same for what is masked in the request and in its answer."""
    return Placeholders(
        kit.secret, call.principal.org, kit.settings.pii.scope, call.principal.run or call.id
    )


async def scanned(kit: Kit, call: Asker, unseen: list[Block]) -> dict[BlockKey, Spans]:
    """Findings of the blocks that were not seen before, in parallel pieces."""
    groups = list(pieces(unseen))
    if len(groups) == 1:  # nearly always, and tasks would cost more than the question
        return await _found(kit, call, groups[0])
    gate = asyncio.Semaphore(MAX_AT_ONCE)

    async def piece(blocks: Sequence[Block]) -> dict[BlockKey, Spans]:
        async with gate:
            return await _found(kit, call, blocks)

    known: dict[BlockKey, Spans] = {}
    for found in await asyncio.gather(*map(piece, groups)):
        known |= found
    return known


async def _found(kit: Kit, call: Asker, blocks: Sequence[Block]) -> dict[BlockKey, Spans]:
    """What pii finds in one piece, remembered."""
    if len(blocks) == 1 and len(blocks[0].raw) > SPLIT_AT:
        findings = await _ask_in_windows(kit, call, blocks[0])
    else:
        findings = await ask_pii(kit, call, [b.text for b in blocks], [b.prose for b in blocks])
    return kit.spans.store(blocks, findings, call.principal.org) if findings else {}


async def ask_pii(
    kit: Kit, call: Asker, texts: Sequence[str], prose: Sequence[bool]
) -> Findings | None:
    """What pii finds; None where it is away and the settings let texts pass. Raises Unavailable."""
    request = Scan(
        request_id=call.id, texts=tuple(texts), prose=tuple(prose), org=call.principal.org
    )
    try:
        return await kit.bus.ask(SCAN, request, kit.settings.gateway.timeouts.scan)
    except Unavailable as error:
        if kit.settings.gateway.pii_down == "open" and kit.bus.connected:
            PII_OPEN.inc()
            call.unscanned = True
            return None
        raise Unavailable(f"nothing is sent unmasked: {error.detail}") from None


async def _ask_in_windows(kit: Kit, call: Asker, block: Block) -> Findings | None:
    """A text too large for one message, in overlapping windows: what straddles a border lies
    whole in one of them."""
    text = block.text
    starts = range(0, max(1, len(text) - OVERLAP), WINDOW - OVERLAP)
    found: dict[tuple[int, int], Finding] = {}
    rules = ""
    for start in starts:
        findings = await ask_pii(kit, call, [text[start : start + WINDOW]], [block.prose])
        if findings is None:
            return None
        rules = findings.rules
        for each in findings.texts[0]:
            place = (each.start + start, each.end + start)
            found[place] = Finding(*place, each.type, each.score)
    return Findings(texts=(tuple(_disjoint(found.values())),), rules=rules)


def _disjoint(findings: Iterable[Finding]) -> list[Finding]:
    """Of findings that overlap (one cut by a window's border, one whole), the longer."""
    kept: list[Finding] = []
    for each in sorted(findings, key=lambda f: (f.start, -f.end)):
        if kept and each.start < kept[-1].end:
            if each.end - each.start > kept[-1].end - kept[-1].start:
                kept[-1] = each
            continue
        kept.append(each)
    return kept


def pieces(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Blocks in groups that fit one message; a block over that is a group of its own."""
    group: list[Block] = []
    size = 0
    for block in blocks:
        if group and size + len(block.raw) > SPLIT_AT:
            yield group
            group, size = [], 0
        group.append(block)
        size += len(block.raw)
    if group:
        yield group


def _no_threads() -> InvalidRequest:
    """SDKs then send the whole history instead (claude-wire: message threads)."""
    return InvalidRequest(
        "thread: not available while masking is on; send the whole conversation",
        {"error_code": "thread_unsupported_request"},
    )
