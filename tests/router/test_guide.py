"""The three examples that users are promised, and their kin."""

import pytest

from libs.common.contracts.routing import Plan
from services.router.decide import decide
from services.router.label import is_scored
from services.router.scorer import Prompt
from tests.router.world import FLEETS, NOW, request, route, view

CODE = [
    "Write a Python function to calculate fibonacci",
    "Implement a priority queue in Rust with a binary heap",
    "Why does this loop never end? while (i < 10) { print(i); }",
    "Schreib mir eine Funktion in Java, die Primzahlen findet",
    "Add unit tests for the date parser",
    "Turn this callback hell into async/await in TypeScript",
    "SQL: top five customers by revenue per quarter",
    "Fix the KeyError in my pandas script",
    "I want a bash script which rotates log files",
    "Refactor the payment class so that it can be mocked",
    "Quicksort in C, please",
    "Python: nth Fibonacci term, please",
    "Put together a Python helper to evaluate Fibonacci numbers",
    "How would I calculate Fibonacci numbers with Python?",
    "Supply an implementation of fibonacci with memoization",
    "Solve Fibonacci with a Python function",
]
SIMPLE = [
    "What is the capital of France?",
    "Who painted the Mona Lisa?",
    "How many minutes are in a day?",
    "Wie heißt der längste Fluss Europas?",
    "When was the printing press invented?",
    "Translate 'good night' into Italian",
    "Which gas do plants breathe in?",
    "Quel est le plus haut sommet du monde ?",
    "Is Pluto a planet?",
    "Spell 'necessary'",
    "What's 15% of 240?",
    "Name the capital city of France",
    "I'd like to know the capital of France",
    "Just tell me which city is the French capital",
    "Identify the capital of France",
    "Hi! Can you name France's capital?",
    "What is latency?",
]
COMPLEX = [
    "Analyze the performance implications of microservices compared with a modular monolith",
    "Evaluate whether a mid-size retailer should move its data centre to the cloud",
    "Compare the trade-offs of CRDTs and operational transforms for collaborative editing",
    "Discuss how an ageing population will change public finances over thirty years",
    "Derive the Black-Scholes equation and examine the assumptions behind it rigorously",
    "Assess the risks of relying on a single supplier for rare earths, and weigh the options",
    "Give me an in-depth critique of utilitarianism with the strongest objections",
    "Investigate the root causes of our churn and recommend a strategy for the next two years",
    "Bewerte die Auswirkungen eines Grundeinkommens auf den Arbeitsmarkt im Detail",
    "Think through the second-order effects of banning cars from the city centre",
    "Explain why distributed consensus is hard and what the impossibility results really imply",
    "Discuss the performance effects of microservices",
    "What are the performance implications of microservices?",
    "What are the latency and throughput costs of splitting a monolith into microservices?",
    "Describe how microservices change performance characteristics and why",
    "Outline the performance drawbacks and advantages of microservices",
    "Study the performance ramifications of microservices",
]
ASKED = ("claude-3-5-sonnet-20241022", "modelmuxer-auto", "claude-opus-5-5")


def planned(text: str, fleet: str, asked: str, tools: int) -> Plan:
    tokens = 40_000 if tools else 60
    marks = 3 if tools else 0
    features = request(text, asked, tools=tools, input_tokens=tokens, cache_marks=marks)
    look = view(FLEETS[fleet])
    assert look.rules.scorer
    needed = look.rules.scorer.needed(Prompt(prompt=text)) if is_scored(features) else None
    return decide(route(features), look, now=NOW, needed=needed).plan


@pytest.mark.parametrize("fleet", FLEETS)
@pytest.mark.parametrize("tools", [0, 24])
@pytest.mark.parametrize("text", CODE)
def test_code_goes_to_a_sonnet(text: str, tools: int, fleet: str) -> None:
    for asked in ASKED:
        found = planned(text, fleet, asked, tools)
        assert found.candidates[0].model.startswith("claude-sonnet")
        assert found.reason.startswith("code detected (confidence 0.")


@pytest.mark.parametrize("fleet", FLEETS)
@pytest.mark.parametrize("tools", [0, 24])
@pytest.mark.parametrize("text", SIMPLE)
def test_a_simple_question_goes_to_the_cheapest(text: str, tools: int, fleet: str) -> None:
    for asked in ASKED:
        found = planned(text, fleet, asked, tools)
        cheapest = min(candidate.expected for candidate in found.candidates)
        assert found.candidates[0].expected == cheapest
        assert found.reason == f"simple query ({len(text)} chars), cost-optimized selection"


@pytest.mark.parametrize("fleet", FLEETS)
@pytest.mark.parametrize("tools", [0, 24])
@pytest.mark.parametrize("text", COMPLEX)
def test_complex_analysis_goes_to_a_premium_model(text: str, tools: int, fleet: str) -> None:
    for asked in ASKED:
        found = planned(text, fleet, asked, tools)
        facts = view().rules.catalogue.facts(found.candidates[0].model)
        assert facts is not None and facts.tier == "premium"
        assert found.reason.startswith("complex analysis required (confidence 0.")


@pytest.mark.parametrize("fleet", FLEETS)
def test_the_three_examples_reach_three_models(fleet: str) -> None:
    texts = (CODE[0], SIMPLE[0], COMPLEX[0])
    models = {planned(t, fleet, ASKED[0], 0).candidates[0].model for t in texts}
    assert len(models) == 3
