"""The response cache: the same masked request of the same tenant gets the same answer.

Off unless a key, a header or a setting asks for it. What is stored is masked: it holds
placeholders, never values. Refusals, errors and cut answers are never stored. A hit costs
nothing and books what the answer cost when it was made.

`kept` looks up and stores; `similar` finds an answer to the same question in other words, as far
as `sameness` allows.
"""

from services.gateway.answers.kept import keep, let_go, look_up, mode_of

__all__ = ["keep", "let_go", "look_up", "mode_of"]
