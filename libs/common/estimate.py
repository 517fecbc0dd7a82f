"""How many tokens a text is at most, before anybody counts it."""


def text_tokens(data: bytes | str) -> int:
    """An upper bound: no byte-level tokenizer makes more tokens of a text than it has bytes."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return len(raw)
