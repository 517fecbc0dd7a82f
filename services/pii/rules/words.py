"""Tables of words, as text."""


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())
