# ruff: noqa: E501 - tables read better on long lines
"""make bench-pii: what masking costs, on this machine, beside Presidio's own recognizers.

Texts as a coding agent sends them: of each 20 pieces 14 are source code of the standard library, 3
noise (hashes, ids, dumps, versions), 2 chat, logs and tables with personal data, 1 holds a secret.
All values are made up. Figures are CPU milliseconds of one process.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

# Presidio's own e-mail recognizer would fetch a list over the network.
os.environ["TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS"] = ""

import msgspec
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NoOpNlpEngine
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    PhoneRecognizer,
    UsSsnRecognizer,
)

from libs.common.contracts.pii import Findings
from libs.common.settings.pii import PiiSettings
from services.gateway.masking import (
    Placeholders,
    Policy,
    SpanCache,
    StreamRestorer,
    apply,
    collect,
)
from services.pii.scanner import Scanner
from tests.pii.samples import PII_TEMPLATES, SECRET_TEMPLATES, samples
from tests.pii.test_stress import SEEDS

SECRET = b"0" * 32
Fields = dict[str, msgspec.Raw]


def main() -> None:
    scanner = Scanner(PiiSettings())
    texts = make_texts(Random(7))
    warm(scanner)
    speed(scanner, texts)
    worst(scanner)
    conversation(scanner, texts)
    deltas()


def make_texts(r: Random) -> Callable[[int], str]:
    files = sorted(Path(json.__file__).parent.parent.glob("*.py"))
    personal = [sample.text for sample in samples(PII_TEMPLATES, 5, seed=7)]
    secret = [sample.text for sample in samples(SECRET_TEMPLATES, 5, seed=7)]

    def source() -> str:
        whole = r.choice(files).read_text(errors="replace")
        at = r.randrange(max(1, len(whole) - 2000))
        return whole[at : at + 2000]

    def piece() -> str:
        kind = r.randrange(20)
        if kind < 14:
            return source()
        return noise(r) if kind < 17 else r.choice(personal if kind < 19 else secret)

    def text(size: int) -> str:
        parts: list[str] = []
        while sum(map(len, parts)) < size:
            parts.append(piece())
        return "\n\n".join(parts)[:size]

    return text


def noise(r: Random) -> str:
    """What tools print: numbers and letters in masses, none of them personal."""
    hexes = [f"{r.getrandbits(64):016x}" for _ in range(24)]
    lines = (
        "\n".join(f"{n:08x}: " + " ".join(h[i : i + 4] for i in (0, 4, 8, 12)) for n, h in enumerate(hexes)),
        "\n".join(f"request_id={h[:8]}-{h[8:12]}-{h[12:]}-{hexes[0][:4]} took {int(h[:3], 16)} ms" for h in hexes),
        "\n".join(f"{int(h[:6], 16) / 100},{int(h[6:10], 16)},{int(h[10:], 16)}" for h in hexes),
        "\n".join(f'"integrity": "sha512-{h}{h[::-1]}==", "version": "{int(h[:1], 16)}.{int(h[1:3], 16)}.3"' for h in hexes),
    )  # fmt: skip
    return r.choice(lines)


def warm(scanner: Scanner) -> None:
    for sample in samples(SECRET_TEMPLATES + PII_TEMPLATES, 2, seed=1):
        scanner.scan(sample.text)


def presidio() -> Callable[[str], object]:
    """Its six structured recognizers, as it ships them, without a language model."""
    kinds = (
        CreditCardRecognizer, EmailRecognizer, IbanRecognizer, IpRecognizer, PhoneRecognizer,
        UsSsnRecognizer,
    )  # fmt: skip
    engine = AnalyzerEngine(
        registry=RecognizerRegistry([kind() for kind in kinds], supported_languages=["en"]),
        nlp_engine=NoOpNlpEngine([{"lang_code": "en", "model_name": "none"}]),
        supported_languages=["en"],
    )
    return lambda text: engine.analyze(text, "en", score_threshold=0.4)


def cost(work: Callable[[], object]) -> float:
    """CPU milliseconds."""
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1000


def speed(scanner: Scanner, text: Callable[[int], str]) -> None:
    theirs = presidio()
    theirs("warm a@b.co +1 201 522 8296")
    print(f"{'ms per KB':28}{'ours':>10}{'presidio':>10}{'times':>8}")
    for kilobytes, rounds in ((1, 40), (10, 12), (100, 3)):
        made = [text(kilobytes * 1024) for _ in range(rounds)]
        a = statistics.median(cost(lambda t=t: scanner.scan(t)) for t in made) / kilobytes
        b = statistics.median(cost(lambda t=t: theirs(t)) for t in made) / kilobytes
        print(f"  texts of {kilobytes:>3} KB            {a:>10.3f}{b:>10.3f}{b / a:>8.1f}")


def worst(scanner: Scanner) -> None:
    rows = []
    for seed in SEEDS:
        small, large = seed * (20_480 // len(seed)), seed * (102_400 // len(seed))
        a, b = cost(lambda t=small: scanner.scan(t)), cost(lambda t=large: scanner.scan(t))
        rows.append((b / 100, b / 5 / max(a, 0.01), seed))
    print("\nworst inputs, 100 KB each      ms/KB   growth from 20 KB (1.0: linear)")
    for each, growth, seed in sorted(rows, reverse=True)[:5]:
        print(f"  {seed.strip()[:26]!r:28}{each:>8.2f}{growth:>8.1f}")


def conversation(scanner: Scanner, text: Callable[[int], str]) -> None:
    """What masking adds to a request whose fields have been read."""
    contents = [text(2000) for _ in range(204)]
    short, long = fields_of(contents[:200]), fields_of(contents)
    cache = SpanCache()
    print("\na conversation of 200 blocks, 400 KB                      ms")
    for name, fields in (
        ("first turn: every block scanned", short),
        ("next turn: 4 new blocks", long),
        ("a turn without a new block", long),
    ):
        print(f"  {name:46}{cost(lambda f=fields: turn(scanner, cache, f)):>11.1f}")


def fields_of(contents: list[str]) -> Fields:
    messages = [{"role": "user", "content": content} for content in contents]
    return msgspec.json.decode(msgspec.json.encode({"messages": messages}), type=Fields)


def turn(scanner: Scanner, cache: SpanCache, fields: Fields) -> None:
    blocks = collect(fields)
    known, unseen = cache.lookup(blocks)
    texts = tuple(scanner.scan(block.text) for block in unseen)
    known |= cache.store(unseen, Findings(texts=texts, rules="1"))
    apply(fields, blocks, known, Policy.of(PiiSettings()), Placeholders(SECRET), cache)


def deltas() -> None:
    placeholder = Placeholders(SECRET).of("EMAIL", "anna@northwind.io")
    mapping = {placeholder: "anna@northwind.io"}
    print("\nper delta of a stream                             µs")
    for name, text in (
        ("nothing to restore", "some words of an answer"),
        ("one placeholder", f"write to {placeholder} now"),
        ("an end that is held back", f"write to {placeholder[:12]}"),
    ):
        restorer = StreamRestorer(mapping)
        event = delta(text)
        each = cost(lambda r=restorer, e=event: [r.feed(e) for _ in range(5000)]) / 5
        print(f"  {name:46}{each:>6.1f}")


def delta(text: str) -> bytes:
    event: dict[str, Any] = {"type": "content_block_delta", "index": 0}
    event["delta"] = {"type": "text_delta", "text": text}
    return b"event: content_block_delta\ndata: " + msgspec.json.encode(event) + b"\n\n"


if __name__ == "__main__":
    main()
