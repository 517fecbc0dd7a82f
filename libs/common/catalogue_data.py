"""The models we know by name, as of November 2026. Data only; `catalogue.py` reads it.

Windows and output ceilings are the providers' published ones (platform.claude.com/docs/en/models,
developers.openai.com, ai.google.dev, docs.mistral.ai). Prices are not here: see `prices.py`.
Where a ceiling was never published, the row holds what a sibling of the same age allows.
"""

# Columns: name, display (_ for a space), tier, context, max output, thinking, flags, released.
# Sizes are in thousands of tokens, rounded down.
# Flags, beside text and tools, which every model takes:
#   i images   d PDF documents   s structured output   w the provider's own server tools
#   e effort   r `role: system` inside messages
#   x thinking cannot be switched off   f a forced tool choice is refused
#   n sampling fields are refused   p a prefilled assistant turn is refused
# thinking: none, budget (budget_tokens), adaptive, both.
MODELS: dict[str, str] = {
    "anthropic": """
claude-fable-5-2        Claude_Fable_5.2        premium    1M 128k adaptive idswerxfnp 2026-11-05
claude-mythos-5-2       Claude_Mythos_5.2       premium    1M 128k adaptive idswerxfnp 2026-11-05
claude-haiku-5-5        Claude_Haiku_5.5        cheap      1M 128k adaptive idswernp   2026-10-07
claude-sonnet-5-5       Claude_Sonnet_5.5       standard   1M 128k adaptive idswerfnp  2026-09-28
claude-fable-5-1        Claude_Fable_5.1        premium    1M 128k adaptive idswerxfnp 2026-09-10
claude-mythos-5-1       Claude_Mythos_5.1       premium    1M 128k adaptive idswerxfnp 2026-09-10
claude-opus-5-5         Claude_Opus_5.5         premium    1M 128k adaptive idswerxfnp 2026-09-10
claude-sonnet-5         Claude_Sonnet_5         standard   1M 128k adaptive idswernp   2026-06-30
claude-fable-5          Claude_Fable_5          premium    1M 128k adaptive idswernp   2026-07-01
claude-mythos-5         Claude_Mythos_5         premium    1M 128k adaptive idswernp   2026-07-01
claude-opus-5           Claude_Opus_5           premium    1M 128k adaptive idswernp   2026-07-20
claude-opus-4-8         Claude_Opus_4.8         premium    1M 128k adaptive idswernp   2026-05-28
claude-opus-4-7         Claude_Opus_4.7         premium    1M 128k adaptive idswenp    2026-04-16
claude-opus-4-6         Claude_Opus_4.6         premium    1M 128k both     idswep     2026-02-05
claude-sonnet-4-6       Claude_Sonnet_4.6       standard   1M  64k both     idswep     2026-02-17
claude-haiku-4-5        Claude_Haiku_4.5        cheap    200k  64k budget   idsw       2025-10-01
claude-opus-4-5         Claude_Opus_4.5         premium  200k  64k budget   idswe      2025-11-01
claude-sonnet-4-5       Claude_Sonnet_4.5       standard 200k  64k budget   idsw       2025-09-29
claude-opus-4-1         Claude_Opus_4.1         premium  200k  32k budget   idsw       2025-08-05
""",
    "openai": """
gpt-6.1-terra           GPT-6.1_Terra           standard 922k 128k adaptive idsen      2026-10-26
gpt-6.1-sol             GPT-6.1_Sol             premium  922k 128k adaptive idsen      2026-10-06
gpt-6-sol               GPT-6_Sol               premium  922k 128k adaptive idsen      2026-09-22
gpt-6-luna              GPT-6_Luna              cheap    922k 128k adaptive idsen      2026-09-22
gpt-6-astra             GPT-6_Astra             premium  922k 128k adaptive idsen      2026-09-03
gpt-5.6-sol             GPT-5.6_Sol             premium  922k 128k adaptive idsen      2026-06-25
gpt-5.6-terra           GPT-5.6_Terra           standard 922k 128k adaptive idsen      2026-06-25
gpt-5.6-luna            GPT-5.6_Luna            cheap    922k 128k adaptive idsen      2026-06-25
gpt-5.5                 GPT-5.5                 premium  922k 128k adaptive idsen      2026-04-23
gpt-5.4                 GPT-5.4                 standard 922k 128k adaptive idsen      2026-03-05
gpt-5.4-mini            GPT-5.4_mini            cheap    272k 128k adaptive idsen      2026-03-17
gpt-5.4-nano            GPT-5.4_nano            cheap    272k 128k adaptive isen       2026-03-17
gpt-5.3-codex           GPT-5.3_Codex           standard 272k 128k adaptive isen       2026-02-05
gpt-5.2                 GPT-5.2                 standard 272k 128k adaptive idsen      2025-12-11
gpt-5.1                 GPT-5.1                 standard 272k 128k adaptive idsen      2025-11-13
gpt-5                   GPT-5                   standard 272k 128k adaptive idsen      2025-08-07
gpt-5-mini              GPT-5_mini              cheap    272k 128k adaptive isen       2025-08-07
gpt-5-nano              GPT-5_nano              cheap    272k 128k adaptive isen       2025-08-07
gpt-4.1                 GPT-4.1                 standard   1M  32k none     ids        2025-04-14
gpt-4.1-mini            GPT-4.1_mini            cheap      1M  32k none     ids        2025-04-14
gpt-4o                  GPT-4o                  standard 128k  16k none     ids        2024-08-06
gpt-4o-mini             GPT-4o_mini             cheap    128k  16k none     is         2024-07-18
""",
    "gemini": """
gemini-4-argon          Gemini_4_Argon          premium    1M  65k adaptive idsex      2026-10-13
gemini-3.8-flash        Gemini_3.8_Flash        standard   1M  65k adaptive idse       2026-09-15
gemini-3.7-flash        Gemini_3.7_Flash        standard   1M  65k adaptive idse       2026-08-12
gemini-3.6-flash        Gemini_3.6_Flash        standard   1M  65k adaptive idse       2026-07-08
gemini-3.5-flash        Gemini_3.5_Flash        standard   1M  65k adaptive idse       2026-05-19
gemini-3.5-flash-lite   Gemini_3.5_Flash_Lite   cheap      1M  65k adaptive idse       2026-06-16
gemini-3.1-pro-preview  Gemini_3.1_Pro_Preview  premium    1M  65k adaptive idsex      2026-02-19
gemini-3.1-flash-lite   Gemini_3.1_Flash_Lite   cheap      1M  65k adaptive idse       2026-03-03
gemini-3-flash-preview  Gemini_3_Flash_Preview  standard   1M  65k adaptive idse       2025-12-17
gemini-2.5-pro          Gemini_2.5_Pro          premium    1M  65k budget   idsx       2025-06-17
gemini-2.5-flash        Gemini_2.5_Flash        standard   1M  65k budget   ids        2025-06-17
gemini-2.5-flash-lite   Gemini_2.5_Flash_Lite   cheap      1M  65k budget   ids        2025-07-22
""",
    "mistral": """
mistral-large-4         Mistral_Large_4         premium    1M  65k none     is         2026-10-06
mistral-medium-3-5      Mistral_Medium_3.5      standard 262k  65k none     is         2026-04-29
mistral-small-2603      Mistral_Small_4         cheap    262k  65k none     is         2026-03-16
mistral-large-2512      Mistral_Large_3         standard 262k  65k none     is         2025-12-02
codestral-2508          Codestral_2508          cheap    256k  32k none     s          2025-07-30
devstral-2512           Devstral_2              cheap    262k  32k none     s          2025-12-09
ministral-14b-2512      Ministral_3_14B         cheap    262k  32k none     is         2025-12-02
ministral-8b-2512       Ministral_3_8B          cheap    262k  32k none     is         2025-12-02
""",
}

POOL: dict[str, dict[str, str]] = {
    "anthropic": {
        "cheap": "claude-haiku-5-5",
        "standard": "claude-sonnet-5-5",
        "premium": "claude-opus-5-5",
    },
    "openai": {"cheap": "gpt-6-luna", "standard": "gpt-6.1-terra", "premium": "gpt-6.1-sol"},
    "gemini": {
        "cheap": "gemini-3.1-flash-lite",
        "standard": "gemini-3.8-flash",
        "premium": "gemini-4-argon",
    },
    "mistral": {
        "cheap": "mistral-small-2603",
        "standard": "mistral-medium-3-5",
        "premium": "mistral-large-4",
    },
}

# Names that lead elsewhere: retired models to their living successors, and short names.
# SDK deprecation lists of November 2026 (anthropic 2.12, openai 2.x) give the dates.
ALIASES: dict[str, str] = {
    # short names, as people type them
    "claude": "claude-sonnet-5-5",
    "haiku": "claude-haiku-5-5",
    "sonnet": "claude-sonnet-5-5",
    "opus": "claude-opus-5-5",
    "fable": "claude-fable-5-2",
    "mythos": "claude-mythos-5-2",
    "default": "claude-opus-5-5",
    "best": "claude-opus-5-5",
    "opusplan": "claude-opus-5-5",
    "claude-haiku": "claude-haiku-5-5",
    "claude-sonnet": "claude-sonnet-5-5",
    "claude-opus": "claude-opus-5-5",
    "claude-fable": "claude-fable-5-2",
    "claude-mythos": "claude-mythos-5-2",
    "claude-haiku-latest": "claude-haiku-5-5",
    "claude-sonnet-latest": "claude-sonnet-5-5",
    "claude-opus-latest": "claude-opus-5-5",
    "claude-haiku-5": "claude-haiku-5-5",
    # retired Claude models
    "claude-1.3": "claude-haiku-5-5",
    "claude-instant-1.2": "claude-haiku-5-5",
    "claude-instant": "claude-haiku-5-5",
    "claude-2": "claude-sonnet-5-5",
    "claude-2.0": "claude-sonnet-5-5",
    "claude-2.1": "claude-sonnet-5-5",
    "claude-3-haiku": "claude-haiku-5-5",
    "claude-3-haiku-latest": "claude-haiku-5-5",
    "claude-3-5-haiku": "claude-haiku-5-5",
    "claude-3-5-haiku-latest": "claude-haiku-5-5",
    "claude-3-sonnet": "claude-sonnet-5-5",
    "claude-3-sonnet-latest": "claude-sonnet-5-5",
    "claude-3-5-sonnet": "claude-sonnet-5-5",
    "claude-3-5-sonnet-latest": "claude-sonnet-5-5",
    "claude-3-7-sonnet": "claude-sonnet-5-5",
    "claude-3-7-sonnet-latest": "claude-sonnet-5-5",
    "claude-3-opus": "claude-opus-5-5",
    "claude-3-opus-latest": "claude-opus-5-5",
    "claude-sonnet-4": "claude-sonnet-5-5",
    "claude-sonnet-4-0": "claude-sonnet-5-5",
    "claude-4-sonnet": "claude-sonnet-5-5",
    "claude-opus-4": "claude-opus-5-5",
    "claude-opus-4-0": "claude-opus-5-5",
    "claude-4-opus": "claude-opus-5-5",
    "claude-mythos-preview": "claude-mythos-5-2",
    # OpenAI: shut down by 2026-10-23, or never more than a pointer
    "gpt": "gpt-6.1-terra",
    "gpt-3.5": "gpt-6-luna",
    "gpt-3.5-turbo": "gpt-6-luna",
    "gpt-3.5-turbo-16k": "gpt-6-luna",
    "gpt-3.5-turbo-0125": "gpt-6-luna",
    "gpt-3.5-turbo-0613": "gpt-6-luna",
    "gpt-3.5-turbo-1106": "gpt-6-luna",
    "gpt-4": "gpt-6.1-sol",
    "gpt-4-0613": "gpt-6.1-sol",
    "gpt-4-0125-preview": "gpt-6.1-sol",
    "gpt-4-1106-preview": "gpt-6.1-sol",
    "gpt-4-32k": "gpt-6.1-sol",
    "gpt-4-turbo": "gpt-6.1-terra",
    "gpt-4-turbo-preview": "gpt-6.1-terra",
    "gpt-4-vision-preview": "gpt-6.1-terra",
    "gpt-4.1-nano": "gpt-6-luna",
    "gpt-4.5-preview": "gpt-6.1-sol",
    "chatgpt-4o-latest": "gpt-6.1-terra",
    "gpt-5-chat-latest": "gpt-6.1-terra",
    "gpt-5.1-codex": "gpt-5.3-codex",
    "gpt-5.1-chat-latest": "gpt-6.1-terra",
    "gpt-5.1-mini": "gpt-6-luna",
    "gpt-5.2-chat-latest": "gpt-6.1-terra",
    "gpt-5.3-chat-latest": "gpt-6.1-terra",
    "gpt-5-codex": "gpt-5.3-codex",
    "codex-mini-latest": "gpt-5.3-codex",
    "gpt-6": "gpt-6.1-terra",
    "gpt-6.1": "gpt-6.1-terra",
    "o1": "gpt-6.1-sol",
    "o1-mini": "gpt-6-luna",
    "o1-preview": "gpt-6.1-sol",
    "o3": "gpt-6.1-sol",
    "o3-mini": "gpt-6-luna",
    "o4-mini": "gpt-6-luna",
    # Google
    "gemini": "gemini-3.8-flash",
    "gemini-pro": "gemini-4-argon",
    "gemini-pro-latest": "gemini-4-argon",
    "gemini-flash": "gemini-3.8-flash",
    "gemini-flash-latest": "gemini-3.8-flash",
    "gemini-flash-lite": "gemini-3.1-flash-lite",
    "gemini-flash-lite-latest": "gemini-3.1-flash-lite",
    "gemini-1.0-pro": "gemini-4-argon",
    "gemini-1.5-pro": "gemini-4-argon",
    "gemini-1.5-flash": "gemini-3.8-flash",
    "gemini-1.5-flash-8b": "gemini-3.1-flash-lite",
    "gemini-2.0-flash": "gemini-3.8-flash",
    "gemini-2.0-flash-lite": "gemini-3.1-flash-lite",
    "gemini-3-pro": "gemini-4-argon",
    "gemini-3-pro-preview": "gemini-4-argon",
    "gemini-3-flash": "gemini-3.8-flash",
    "gemini-3.1-pro": "gemini-3.1-pro-preview",
    "gemini-4": "gemini-4-argon",
    # Mistral
    "mistral": "mistral-medium-3-5",
    "mistral-large": "mistral-large-4",
    "mistral-large-latest": "mistral-large-4",
    "mistral-large-4-0": "mistral-large-4",
    "mistral-large-2411": "mistral-large-4",
    "mistral-medium": "mistral-medium-3-5",
    "mistral-medium-latest": "mistral-medium-3-5",
    "mistral-medium-3-1": "mistral-medium-3-5",
    "mistral-small": "mistral-small-2603",
    "mistral-small-latest": "mistral-small-2603",
    "mistral-tiny": "ministral-8b-2512",
    "open-mistral-nemo": "ministral-8b-2512",
    "ministral-8b-latest": "ministral-8b-2512",
    "ministral-14b-latest": "ministral-14b-2512",
    "codestral": "codestral-2508",
    "codestral-latest": "codestral-2508",
    "devstral": "devstral-2512",
    "devstral-latest": "devstral-2512",
}

# Asking for one of these leaves the choice to the router.
AUTO = ("modelmuxer-auto", "claude-modelmuxer-auto", "auto", "modelmuxer")

# What stands before the slash in names such as `google/gemini-4-argon`.
PREFIXES: dict[str, str] = {
    "anthropic": "anthropic",
    "claude": "anthropic",
    "openai": "openai",
    "google": "gemini",
    "gemini": "gemini",
    "models": "",
    "mistral": "mistral",
    "mistralai": "mistral",
    "modelmuxer": "",
}
