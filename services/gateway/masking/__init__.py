"""Reversible masking: collect texts, mask them, restore the answer. Pure: no I/O, no clock.

pii finds, this masks: see services/pii for the rules and docs/pii.md for the promises.
"""

from services.gateway.masking.apply import Masked, apply
from services.gateway.masking.blocks import Block, collect
from services.gateway.masking.cache import SpanCache
from services.gateway.masking.guard import StreamGuard
from services.gateway.masking.placeholders import Placeholders
from services.gateway.masking.policy import Policy
from services.gateway.masking.restore import restore_message
from services.gateway.masking.stream import StreamRestorer

__all__ = [
    "Block",
    "Masked",
    "Placeholders",
    "Policy",
    "SpanCache",
    "StreamGuard",
    "StreamRestorer",
    "apply",
    "collect",
    "restore_message",
]
