import base64
import json
import random
import string
import timeit

import pytest

from libs.common.estimate import text_tokens

PROSE = (
    "The ledger reserves the worst case of a call before it is made, and books what the call "
    "has cost when its usage event arrives. Between the two nothing can overrun a budget, "
    "however many calls are in flight, and whichever replica is asked. "
) * 20
CODE = (
    "async def settle(self, row: Usage) -> Outcome:\n"
    "    keys = [tenant(org, 'call', row.id), tenant(org, 'open')]\n"
    "    if outcome.overrun > 0 and not self._closing.is_set():\n"
    "        return {k: v for k, v in items if v is not None}\n\n"
) * 20
GERMAN = (
    "Größere Beträge überweist die Donaudampfschifffahrtsgesellschaft außerhalb Münchens. " * 30
)
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 30
CHINESE = "我们需要一个能够处理大量请求的网关，它必须在预算之内运行，并且不会丢失任何事件。" * 30
JAPANESE = "プログラムを実行すると、エラーが表示されます。設定を確認してください。" * 30
EMOJI = "👩‍💻🚀🎉🇩🇪😀" * 60


def noise(alphabet: str, length: int = 4000) -> str:
    return "".join(random.Random(7).choices(alphabet, k=length))


def structured() -> str:
    draw = random.Random(7)
    rows = [{"id": f"{draw.getrandbits(128):032x}", "n": i, "ok": i % 3 == 0} for i in range(150)]
    return json.dumps(rows)


# What the tokenizers of Claude (as published for 2) and Mistral (tekken) make of each sample.
COUNTED = {
    "prose": (1001, 1021),
    "code": (1479, 1340),
    "german": (841, 721),
    "russian": (1171, 602),
    "chinese": (1020, 1020),
    "japanese": (900, 690),
    "emoji": (1140, 1740),
    "json": (5093, 6914),
    "escaped": (5551, 5702),
    "base64": (2802, 3028),
    "hex": (2321, 3551),
    "digits": (1688, 4000),
    "letters": (2109, 2267),
    "capitals": (2325, 2637),
    "punctuation": (2648, 2760),
    "printable": (3206, 3220),
    "control": (3991, 3996),
    "rare": (8610, 8089),
}
SAMPLES = {
    "prose": PROSE,
    "code": CODE,
    "german": GERMAN,
    "russian": RUSSIAN,
    "chinese": CHINESE,
    "japanese": JAPANESE,
    "emoji": EMOJI,
    "json": structured(),
    "escaped": json.dumps(CHINESE),
    "base64": base64.b64encode(random.Random(7).randbytes(3000)).decode(),
    "hex": noise("0123456789abcdef"),
    "digits": noise(string.digits),
    "letters": noise(string.ascii_lowercase),
    "capitals": noise(string.ascii_uppercase),
    "punctuation": noise(string.punctuation),
    "printable": noise(string.printable),
    "control": noise("".join(map(chr, range(32)))),
    "rare": noise("".join(map(chr, range(0x4E00, 0x9FFF)))),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_an_estimate_is_never_under_what_a_tokenizer_counts(name: str) -> None:
    assert text_tokens(SAMPLES[name]) >= max(COUNTED[name])


@pytest.mark.parametrize("name", ["prose", "code", "german"])
def test_natural_text_leaves_room_for_a_newer_tokenizer_but_not_too_much(name: str) -> None:
    assert 1.35 <= text_tokens(SAMPLES[name]) / COUNTED[name][0] <= 2.6


def test_no_estimate_exceeds_the_bytes() -> None:
    assert all(text_tokens(text) <= len(text.encode()) for text in SAMPLES.values())


def test_any_text_has_an_estimate() -> None:
    assert text_tokens("") == 0
    assert text_tokens("\ud800") > 0
    assert text_tokens(b"\xff" * 10) == 10


def test_text_and_its_bytes_have_the_same_estimate() -> None:
    assert text_tokens(GERMAN) == text_tokens(GERMAN.encode())


def test_a_large_prompt_is_estimated_in_a_blink() -> None:
    prompt = (PROSE * 20).encode()[:80_000]
    assert min(timeit.repeat(lambda: text_tokens(prompt), number=10, repeat=5)) / 10 < 0.0005
