"""Can a model do this request, as it stands or after the gateway's explicit adaptation?"""

from libs.common.catalogue import ModelFacts
from libs.common.contracts.routing import Deployment, Features

FORCED = ("any", "tool", "required", "function")


def why_not(features: Features, facts: ModelFacts, deployment: Deployment) -> str:
    """The first reason why the model cannot do it; empty if it can."""
    for wanted, able, why in (
        (features.tools, facts.tools, "takes no tools"),
        (features.images, facts.images, "takes no images"),
        (features.documents, facts.documents, "takes no documents"),
        (features.structured, facts.structured, "has no structured output"),
        (features.thinking == "budget", facts.thinking != "none", "does not think"),
        (features.server_tools, _runs(deployment, facts), "does not run the provider's tools"),
        (features.tool_choice in FORCED, facts.forced_tools, "takes no forced tool choice"),
        (features.prefill, facts.prefill, "takes no prefilled answer"),
        (features.thread, deployment.dialect == "anthropic", "keeps no message threads"),
        (
            features.input_tokens > facts.context,
            False,
            f"has a context of {facts.context} tokens, the request up to {features.input_tokens}",
        ),
    ):
        if wanted and not able:
            return why
    return ""


def _runs(deployment: Deployment, facts: ModelFacts) -> bool:
    return deployment.dialect == "anthropic" and facts.server_tools


def adaptations(features: Features, facts: ModelFacts) -> list[str]:
    """What the gateway will have to change in the body, in words."""
    changes = []
    if features.thinking != "off" and facts.thinking == "none":
        changes.append("thinking dropped")
    elif features.thinking == "adaptive" and facts.thinking == "budget":
        changes.append("adaptive thinking becomes a budget")
    elif features.thinking == "budget" and facts.thinking == "adaptive":
        changes.append("the thinking budget becomes adaptive")
    if features.effort and not facts.effort:
        changes.append("effort dropped")
    if features.sampling and not facts.sampling:
        changes.append("sampling fields dropped")
    if features.max_tokens > facts.max_output:
        changes.append(f"max_tokens lowered to {facts.max_output}")
    return changes
