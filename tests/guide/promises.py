"""What the user's guide promises, as data in our own words: requests, files, names, commands.

Addresses stand as {url}. What works differently today stands in docs/guide-differences.md.
"""

from typing import Any

KEY = "sk-test-claude-dev"
BEARER = {"authorization": f"Bearer {KEY}"}

VARIABLES = (
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_API_URL",
    "ANTHROPIC_AUTH_TOKEN",
)

# Models that its examples ask for or name.
MODELS = (
    "claude-3-5-sonnet-20241022",
    "claude-3-5-sonnet-latest",
    "claude-haiku",
    "gpt-3.5-turbo",
    "gpt-4",
)

MESSAGE: dict[str, Any] = {
    "model": "claude-3-5-sonnet-20241022",
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "Hi! Can you help with a program?"}],
    "system": "You help with programs.",
}

# The three kinds of prompt, and the tier that each is meant to reach.
PROMPTS = {
    "Write a Python function to calculate fibonacci": "code",
    "What is the capital of France?": "simple",
    "Analyze the performance implications of microservices compared to a monolith": "complex",
}

# Reads that must answer 200, with a name that the body must hold.
READS = (
    ("/health", {}, "status"),
    ("/v1/models", BEARER, "data"),
    ("/v1/analytics/budgets", BEARER, "budgets"),
    ("/v1/analytics/costs?days=7", BEARER, "total_cost"),
    ("/metrics", {}, ""),
)

BUDGET = {"budget_type": "daily", "budget_limit": 5.0, "alert_thresholds": [50, 80, 95]}

SCRIPTS = (
    "scripts/claude-cli.py",
    "scripts/configure_claude_cli.ps1",
    "scripts/activate_claude_modelmuxer.ps1",
    "scripts/test_claude_integration.ps1",
)

# Words of the small command line.
COMMAND_LINES = (
    ("-m", "Explain Python decorators"),
    ("-m", "Debug this code", "--model", "claude-3-5-sonnet-20241022"),
)

# What no longer is as the guide has it; each must be explained.
REPLACED = (
    "claude-dev.apiProvider",
    "claude-dev.anthropicBaseUrl",
    "claude-dev.anthropicApiKey",
    "claude-dev.enableStreaming",
    "claude-dev.maxTokens",
    "claude-dev.provider",
    "claude-dev.baseUrl",
    "claude-dev.apiKey",
    "claude-dev.streaming",
    '"stream": true',
    "aiter_lines",
    "enhanced mode",
    "netstat -ano",
    "docker logs modelmuxer-app",
    "API_KEYS=sk-test-claude-dev",
    'claude "…"',
    *MODELS,
)
