"""What happens to a finding of each type: mask it, block the request, let it pass, report it."""

import hashlib

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
        switch: Switch = "on",
        *,
        team: str = "",
        key: str = "",
    ) -> "Policy":
        """The policy of one key: what holds for all, then for its team, then for itself."""
        if switch == "off":
            return cls({}, "allow")
        layers = (settings.entities, settings.teams.get(team, {}), settings.keys.get(key, {}))
        return cls({canonical(n): action for layer in layers for n, action in layer.items()})

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
