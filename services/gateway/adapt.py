"""A request written for one Claude model, made fit for another. Pure.

Only fields that the served model would refuse, or read as something else, are written anew;
all others keep their bytes. Which model takes what: the catalogue's facts, and the few rows
below (platform.claude.com/docs/en/build-with-claude: effort, thinking-troubleshooting,
preserved-thinking, mid-conversation-system-messages).
"""

from collections.abc import Callable
from typing import Any

import msgspec

from libs.common.catalogue import Catalogue, ModelFacts
from libs.common.errors import InvalidRequest
from libs.common.settings import Settings
from services.gateway import signatures

Fields = dict[str, msgspec.Raw]
Json = dict[str, Any]

_CATALOGUE = Catalogue.load(Settings())
_encode = msgspec.json.Encoder().encode

# The effort words a model knows, by the beginning of its name; all five where none stands here.
_EFFORTS = {
    "claude-opus-4-5": ("low", "medium", "high"),
    "claude-opus-4-6": ("low", "medium", "high", "max"),
    "claude-sonnet-4-6": ("low", "medium", "high", "max"),
}
# Models that think unless told not to; older ones think only when told to.
_THINKS_FIRST = (
    "claude-fable-",
    "claude-mythos-",
    "claude-opus-5",
    "claude-sonnet-5",
    "claude-haiku-5",
)
# Where "off" is said otherwise.
_OFF = {"claude-sonnet-5-5": {"type": "between_tools"}}
# Models that bind a thinking block to everything before it.
_BINDS = (
    "claude-fable-5-",
    "claude-mythos-5-",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
)
_BINDING_BETA = "thinking-binding-controls-2026-08-01"
# What reading a body of another form raises.
_MISFORMED = (AttributeError, TypeError, KeyError, ValueError, msgspec.MsgspecError)
_BUDGETS = {"low": 4_000, "medium": 12_000, "high": 31_999}
_LEAST_BUDGET = 1024
# beta: whether a model can do without it being a refusal.
_BETA_NEEDS: dict[str, Callable[[ModelFacts], bool]] = {
    "effort-": lambda facts: facts.effort,
    "mid-conversation-system-": lambda facts: facts.system_role,
    "context-1m-": lambda facts: facts.context >= 1_000_000,
    "fast-mode-": lambda facts: "-opus-" in facts.name and facts.thinking != "budget",
    "fallback-credit-": lambda facts: "-fable-" in facts.name,
}


def adapt_claude(
    body: Fields,
    betas: list[str],
    asked: str,
    served: str,
    origin: Callable[[str], str] | None = None,
) -> tuple[Fields, list[str], list[str]]:
    """The fields and betas that `served` takes, and what was changed, in words; `model` is left
    to the caller. `asked` is empty for a request written for no Claude in particular. Raises
    InvalidRequest for what cannot be kept. Without facts of `served` (a model newer than the
    catalogue) only foreign thinking is taken out."""
    draft = _Draft(body, betas, served)
    try:
        _fit(draft, asked, origin)
    except _MISFORMED:
        raise InvalidRequest("the request is not in the form of the Messages API") from None
    return draft.fields, draft.betas, draft.changes


def _fit(draft: "_Draft", asked: str, origin: Callable[[str], str] | None) -> None:
    served = draft.served
    _drop_foreign(draft, origin)
    facts = _CATALOGUE.facts(served)
    if facts and asked != served:
        for step in (_prefill, _system_role, _max_tokens, _sampling, _tool_choice, _effort):
            step(draft, facts)
        _thinking(draft, facts, asked)
        _speed(draft, facts)
        _keep_betas(draft, facts)
    if draft.table("thinking").get("type") == "enabled" and _loop_without_thinking(draft):
        draft.drop("thinking", "thinking dropped for this turn")
    if draft.changes:
        _edits(draft)
    if draft.history_changed and served.startswith(_BINDS):
        _unbind(draft)


class _Draft:
    """The request while it is being changed; the caller's own values are never touched."""

    def __init__(self, fields: Fields, betas: list[str], served: str) -> None:
        self.fields, self.betas, self.served = dict(fields), list(betas), served
        self.changes: list[str] = []
        self.history_changed = False

    def get(self, name: str) -> Any:
        raw = self.fields.get(name)
        return None if raw is None else msgspec.json.decode(raw)

    def table(self, name: str) -> Json:
        value = self.get(name)
        return value if isinstance(value, dict) else {}

    def put(self, name: str, value: object, words: str) -> None:
        self.fields[name] = msgspec.Raw(_encode(value))
        self.changes.append(words)

    def drop(self, name: str, words: str) -> None:
        del self.fields[name]
        self.changes.append(words)


def _drop_foreign(draft: _Draft, origin: Callable[[str], str] | None) -> None:
    """Thinking of other providers' models is no Claude's to read, nor that of another Claude:
    with its signature it would be refused."""
    raw = bytes(draft.fields.get("messages", b""))
    ours = signatures.PREFIX.encode() in raw
    if not ours and (origin is None or b'"signature"' not in raw):
        return
    kept, dropped = [], 0
    for message in draft.get("messages"):
        content = message.get("content")
        if message.get("role") == "assistant" and isinstance(content, list):
            own = [block for block in content if not _foreign(block, draft.served, origin)]
            dropped += len(content) - len(own)
            if content and not own:
                continue
            message["content"] = own
        kept.append(message)
    if dropped:
        draft.history_changed = True
        draft.put("messages", kept, f"thinking of other models dropped ({dropped})")


def _foreign(block: Any, served: str, origin: Callable[[str], str] | None) -> bool:
    if not isinstance(block, dict) or block.get("type") != "thinking":
        return False
    signature = str(block.get("signature") or "")
    if signatures.read(signature):
        return True
    return bool(origin and origin(signature) not in ("", served))


def _prefill(draft: _Draft, facts: ModelFacts) -> None:
    if facts.prefill or b'"assistant"' not in bytes(draft.fields.get("messages", b""))[-400_000:]:
        return
    messages = draft.get("messages")
    if messages and messages[-1].get("role") == "assistant":
        raise InvalidRequest(
            f"messages.{len(messages) - 1}.role: {facts.name} does not continue an assistant "
            "message; end with a user message"
        )


def _system_role(draft: _Draft, facts: ModelFacts) -> None:
    """Words of the system in mid-conversation become the user's, in their place, after any tool
    results, which must stand first."""
    if facts.system_role or b'"system"' not in bytes(draft.fields.get("messages", b"")):
        return
    kept: list[Json] = []
    waiting: list[Json] = []
    moved = 0
    for message in draft.get("messages"):
        if message.get("role") == "system":
            moved += 1
            waiting += _reminders(message.get("content"))
            if kept and kept[-1].get("role") == "user":
                _append(kept[-1], waiting)
                waiting = []
            continue
        kept.append(message)
        if waiting and message.get("role") == "user":
            _append(message, waiting)
            waiting = []
    if waiting:
        kept.append({"role": "user", "content": waiting})
    if moved:
        draft.history_changed = True
        draft.put("messages", kept, f"role system told as the user's ({moved})")


def _reminders(content: Any) -> list[Json]:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    return [
        {**block, "text": f"<system-reminder>\n{block['text']}\n</system-reminder>"}
        for block in blocks
        if block.get("text")
    ]


def _append(message: Json, blocks: list[Json]) -> None:
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    message["content"] = [*(content or []), *blocks]


def _max_tokens(draft: _Draft, facts: ModelFacts) -> None:
    wanted = draft.get("max_tokens")
    if isinstance(wanted, int) and wanted > facts.max_output:
        words = f"max_tokens {wanted} lowered to {facts.max_output}"
        draft.put("max_tokens", facts.max_output, words)


def _sampling(draft: _Draft, facts: ModelFacts) -> None:
    for name in ("temperature", "top_p", "top_k"):
        if not facts.sampling and name in draft.fields:
            draft.drop(name, f"{name} dropped")


def _tool_choice(draft: _Draft, facts: ModelFacts) -> None:
    choice = draft.table("tool_choice")
    if not facts.forced_tools and choice.get("type") in ("any", "tool"):
        kept = {k: v for k, v in choice.items() if k not in ("type", "name")}
        draft.put("tool_choice", {"type": "auto", **kept}, "forced tool_choice set to auto")


def _effort(draft: _Draft, facts: ModelFacts) -> None:
    config = draft.table("output_config")
    wanted = config.get("effort")
    if not wanted:
        return
    if not facts.effort:
        rest = {name: value for name, value in config.items() if name != "effort"}
        if rest:
            draft.put("output_config", rest, "effort dropped")
        else:
            draft.drop("output_config", "effort dropped")
        return
    known = next((v for k, v in _EFFORTS.items() if facts.name.startswith(k)), None)
    if known and wanted not in known:
        lower = "high" if wanted == "xhigh" else known[-1]
        draft.put(
            "output_config", {**config, "effort": lower}, f"effort {wanted} lowered to {lower}"
        )


def _thinking(draft: _Draft, facts: ModelFacts, asked: str) -> None:
    thinking = draft.table("thinking")
    kind = thinking.get("type")
    if kind is None:
        unasked = asked.startswith("claude-") and not asked.startswith(_THINKS_FIRST)
        if unasked and facts.name.startswith(_THINKS_FIRST):
            _switch_off(draft, facts, f"thinking left off, as at {asked}")
    elif kind == "disabled":
        _switch_off(draft, facts, "")
    elif facts.thinking == "none":
        draft.drop("thinking", "thinking dropped")
    elif kind in ("adaptive", "between_tools") and facts.thinking == "budget":
        _with_budget(draft, facts, thinking)
    elif kind == "enabled" and facts.thinking == "adaptive":
        kept = {name: thinking[name] for name in ("display",) if name in thinking}
        draft.put("thinking", {"type": "adaptive", **kept}, "thinking budget made adaptive")
        _effort_of_budget(draft, facts, thinking.get("budget_tokens"))
    elif kind == "between_tools" and facts.name not in _OFF:
        draft.put("thinking", {"type": "adaptive"}, "thinking between tools made adaptive")


def _switch_off(draft: _Draft, facts: ModelFacts, words: str) -> None:
    """Off in the model's own way; where it cannot be off, as little as it can."""
    if facts.thinking == "none":
        if "thinking" in draft.fields:
            draft.drop("thinking", "thinking dropped")
        return
    if not facts.thinking_off:
        if "thinking" in draft.fields:
            draft.drop("thinking", "thinking cannot be off")
        _put_effort(draft, "low")
        return
    off = _OFF.get(facts.name, {"type": "disabled"})
    if draft.table("thinking") != off:
        draft.put("thinking", off, words or "thinking off said otherwise")
    if draft.table("output_config").get("effort") in ("xhigh", "max"):
        _put_effort(draft, "high")


def _put_effort(draft: _Draft, effort: str) -> None:
    config = draft.table("output_config")
    if config.get("effort") != effort:
        draft.put("output_config", {**config, "effort": effort}, f"effort set to {effort}")


def _effort_of_budget(draft: _Draft, facts: ModelFacts, budget: Any) -> None:
    """A small budget asks for little thought; a large one is the default."""
    said = "effort" in draft.table("output_config")
    if facts.effort and not said and isinstance(budget, int) and budget < 16_384:
        _put_effort(draft, "low" if budget < 4_096 else "medium")


def _with_budget(draft: _Draft, facts: ModelFacts, thinking: Json) -> None:
    """A budget below `max_tokens`. None where it would be refused: a forced tool choice, or too
    little room."""
    room = (draft.get("max_tokens") or 0) - 1
    forced = draft.table("tool_choice").get("type") in ("any", "tool")
    if room < _LEAST_BUDGET or forced:
        draft.drop("thinking", "thinking dropped for this turn")
        return
    effort = str(draft.table("output_config").get("effort") or "high")
    budget = min(room, _BUDGETS.get(effort, _BUDGETS["high"]))
    kept = {name: thinking[name] for name in ("display",) if name in thinking}
    draft.put(
        "thinking",
        {"type": "enabled", "budget_tokens": budget, **kept},
        f"adaptive thinking made a budget of {budget}",
    )
    for name in ("temperature", "top_k"):
        if name in draft.fields:
            draft.drop(name, f"{name} dropped, as thinking takes none")


def _loop_without_thinking(draft: _Draft) -> bool:
    """ "Expected `thinking` …, but found `tool_use`": with a budget, the assistant message that
    called the tools must begin with thinking."""
    messages = [each for each in draft.get("messages") or [] if each.get("role") != "system"]
    if len(messages) < 2 or messages[-1].get("role") != "user":
        return False
    results = messages[-1].get("content")
    if not isinstance(results, list) or not any(
        block.get("type") == "tool_result" for block in results
    ):
        return False
    called = messages[-2].get("content")
    first = called[0] if isinstance(called, list) and called else {}
    return first.get("type") not in ("thinking", "redacted_thinking")


def _edits(draft: _Draft) -> None:
    """Clearing old thinking is refused where there is none."""
    management = draft.table("context_management")
    edits = management.get("edits")
    kind = draft.table("thinking").get("type")
    thinks = kind != "disabled" if kind else draft.served.startswith(_THINKS_FIRST)
    if thinks or not isinstance(edits, list):
        return
    kept = [each for each in edits if not str(each.get("type")).startswith("clear_thinking")]
    if len(kept) == len(edits):
        return
    if kept:
        draft.put("context_management", {**management, "edits": kept}, "clear_thinking dropped")
    else:
        draft.drop("context_management", "clear_thinking dropped")


def _speed(draft: _Draft, facts: ModelFacts) -> None:
    if "speed" in draft.fields and not _BETA_NEEDS["fast-mode-"](facts):
        draft.drop("speed", "speed dropped")


def _keep_betas(draft: _Draft, facts: ModelFacts) -> None:
    """A beta and its field go together: one without the other is refused."""
    for beta in list(draft.betas):
        need = next((n for prefix, n in _BETA_NEEDS.items() if beta.startswith(prefix)), None)
        if need and not need(facts):
            draft.betas.remove(beta)
            draft.changes.append(f"beta {beta} dropped")


def _unbind(draft: _Draft) -> None:
    """What stands before earlier thinking changed: let the provider drop such a block instead
    of refusing the request."""
    thinking = draft.table("thinking") or {"type": "adaptive"}
    if thinking.get("type") != "adaptive" or "block_binding" in thinking:
        return
    binding = {"prefix_mismatch_behavior": "drop_block"}
    draft.put("thinking", {**thinking, "block_binding": binding}, "thinking may be dropped")
    if _BINDING_BETA not in draft.betas:
        draft.betas.append(_BINDING_BETA)
