from libs.common.contracts.pii import Finding, Findings
from services.gateway.masking import Block, SpanCache

ONE, TWO = Block(b'"one"', "system", True), Block(b'"two"', "system", True)
FOUND = (Finding(0, 1, "EMAIL"),)


def test_an_old_block_is_never_scanned_twice() -> None:
    cache = SpanCache()
    assert cache.lookup([ONE, TWO, ONE]) == ({}, [ONE, TWO])
    cache.store([ONE, TWO], Findings(texts=(FOUND, ()), rules="1"))
    assert cache.lookup([TWO, ONE]) == ({TWO.key: (), ONE.key: FOUND}, [])


def test_new_rules_make_what_is_known_stale() -> None:
    cache = SpanCache()
    cache.store([ONE], Findings(texts=(FOUND,), rules="1"))
    cache.store([TWO], Findings(texts=((),), rules="2"))
    assert cache.lookup([ONE, TWO]) == ({TWO.key: ()}, [ONE])


def test_tenants_and_prose_do_not_share_findings() -> None:
    cache = SpanCache()
    cache.store([ONE], Findings(texts=(FOUND,), rules="1"), "acme")
    assert cache.lookup([ONE], "other")[1] == [ONE]
    assert cache.lookup([Block(ONE.raw, "x", False)], "acme")[1]


def test_the_least_recently_used_block_leaves_first() -> None:
    cache = SpanCache(capacity=2)
    cache.store([ONE, TWO], Findings(texts=((), ()), rules="1"))
    cache.lookup([ONE])
    cache.store([Block(b'"three"', "x", True)], Findings(texts=((),), rules="1"))
    assert len(cache) == 2 and cache.lookup([ONE, TWO])[1] == [TWO]


def test_the_cache_holds_no_text() -> None:
    cache = SpanCache()
    cache.store(
        [Block(b'"anna.berg@northwind.io"', "x", True)], Findings(texts=(FOUND,), rules="1")
    )
    assert b"anna" not in repr(cache._spans).encode()
