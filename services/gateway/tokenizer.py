"""A public tokenizer, for counts that no provider is asked for.

Its vocabulary is OpenAI's `o200k_base`, as published and kept here, because tiktoken itself
would fetch it over the network. It is loaded with the first count: 0.3 s and 80 MB.
"""

import base64
import gzip
import hashlib
from functools import lru_cache
from importlib.resources import files

import tiktoken

PUBLISHED = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
# Texts are counted in pieces: splitting gives up on a million spaces. A cut costs a token at most.
PIECE = 50_000
WORD = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CAPITAL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
# How the vocabulary wants text split, first that fits (tiktoken, openai_public.py).
SPLIT = "|".join(
    (
        rf"[^\r\n\p{{L}}\p{{N}}]?{CAPITAL}*{WORD}+{ENDING}",
        rf"[^\r\n\p{{L}}\p{{N}}]?{CAPITAL}+{WORD}*{ENDING}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)


def tokens(text: str) -> int:
    """Count the tokens of a text of any size."""
    count = _encoding().encode_ordinary
    return sum(len(count(text[at : at + PIECE])) for at in range(0, len(text), PIECE))


@lru_cache(maxsize=1)
def _encoding() -> tiktoken.Encoding:
    packed = files("services.gateway") / "vocabulary" / "o200k_base.tiktoken.gz"
    lines = gzip.decompress(packed.read_bytes())
    if hashlib.sha256(lines).hexdigest() != PUBLISHED:
        raise RuntimeError(f"{packed} is not the published vocabulary: install ModelMuxer anew")
    pairs = (line.split() for line in lines.splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
    return tiktoken.Encoding("o200k_base", pat_str=SPLIT, mergeable_ranks=ranks, special_tokens={})
