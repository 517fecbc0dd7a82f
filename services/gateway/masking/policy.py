"""What happens to a finding of each type: mask it, block the request, let it pass, report it."""

import hashlib
from collections.abc import Mapping

from msgspec import Struct

from libs.common.contracts.identity import Switch
from libs.common.contracts.pii import canonical
from libs.common.settings.pii import Action, OnOutput, PiiSettings


class Policy(Struct, frozen=True):
    """`actions` holds what differs from `default`."""

    actions: dict[str, Action]
    default: Action = "mask"

    @classmethod
    def of(
        cls,
        settings: PiiSettings,
        key_pii: Switch = "on",
        overrides: Mapping[str, Action] | None = None,
    ) -> "Policy":
        """The policy of one key: the settings, then what the key or its team overrides."""
        if key_pii == "off":
            return cls({}, "allow")
        entities = {**settings.entities, **(overrides or {})}
        return cls({canonical(name): action for name, action in entities.items()})

    def of_answers(self, output: OnOutput) -> "Policy":
        """The same for what a model says: what would be masked or blocked is what `output` says,
        the rest stays allowed or reported."""
        if output == "off" or self.idle:
            return Policy({}, "allow")
        changed = {name: _changed(action, output) for name, action in self.actions.items()}
        return Policy(changed, _changed(self.default, output))

    @property
    def digest(self) -> bytes:
        actions = repr((sorted(self.actions.items()), self.default)).encode()
        return hashlib.blake2b(actions, digest_size=16).digest()

    @property
    def idle(self) -> bool:
        """Nothing is looked for: neither scanned nor masked."""
        return self.default == "allow"

    def action(self, type_: str) -> Action:
        return self.actions.get(type_, self.default)


def _changed(action: Action, output: Action) -> Action:
    return output if action in ("mask", "block") else action
