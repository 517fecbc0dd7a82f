"""Top-level domains, from the snapshot inside tldextract. The network is never asked."""

from functools import lru_cache

import tldextract


@lru_cache(maxsize=1)
def _top_level() -> frozenset[str]:
    extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    return frozenset(suffix for suffix in extract.tlds if "." not in suffix)


def is_top_level(label: str) -> bool:
    return label in _top_level()
