"""Any JSON at all, in the words of the API: what hypothesis puts into requests."""

from hypothesis import strategies as st

NAMES = (
    "role content type text source data tool_use_id name input id input_schema properties "
    "media_type required enum items budget_tokens user_id signature thinking cache_control effort "
    "format description schema title citations x"
)
WORDS = (
    "user assistant system text image document tool_use tool_result thinking base64 url enabled "
    "adaptive custom bash_20250124 web_search_20250305 object any auto tool json_schema"
)
FIELDS = (
    "messages system tools tool_choice temperature top_p top_k thinking stop_sequences metadata "
    "output_config output_format context_management thread container mcp_servers service_tier "
    "speed cache_control betas"
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(WORDS.split())
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=4)
    ),
    max_leaves=12,
)
TYPES = st.sampled_from(WORDS.split())
BLOCKS = st.builds(
    lambda kind, block: block | {"type": kind},
    TYPES,
    st.dictionaries(st.sampled_from(NAMES.split()), VALUES, max_size=4),
)
MESSAGES = st.fixed_dictionaries(
    {
        "role": st.sampled_from(("user", "assistant", "system")) | VALUES,
        "content": st.lists(BLOCKS, max_size=3) | VALUES,
    }
)
# A field of a request, and what to put there.
CHANGES = (
    st.tuples(st.sampled_from(FIELDS.split()), VALUES)
    | st.tuples(st.sampled_from(("tools", "system")), st.lists(BLOCKS, max_size=3))
    | st.tuples(st.sampled_from(("thinking", "tool_choice", "output_config")), BLOCKS)
    | st.tuples(st.just("messages"), st.lists(MESSAGES, min_size=1, max_size=3))
)
