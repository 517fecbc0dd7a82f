"""A linear scorer over hashed words and letters: is a premium model needed, how good is each.

One row of weights per output, over 2^BITS hashed features: words, pairs of words, runs of four
bytes, offered tools and a few coarse facts of the text's shape. Training is `train.py`; this
is all that the service runs, and what `modelmuxer router score` runs.
"""

import io
import math
import re
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from libs.common.settings.load import ConfigError
from services.router.lookup import Lookup

BITS = 16
DIMENSIONS = 1 << BITS
HEAD, TAIL = 3000, 1000
FORMAT = 1
PREMIUM = "premium needed"
REMEMBERED = 512
SHIPPED = Path(__file__).parent / "scorer.npz"

TOKENS = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_+")
DIGITS = str.maketrans("123456789", "000000000")
# What a text may show, found by a pattern, where one of the signs is there at all.
SHAPES = (
    ("fence", ("```",), None),
    ("options", ("",), re.compile(r"^\s*\(?[A-E][).:]", re.MULTILINE)),
    ("question", ("?",), None),
    (
        "definition",
        ("def", "class", "function", "import", "public"),
        re.compile(r"^\s*(?:def|class|function|import|public)\b", re.MULTILINE),
    ),
    ("formula", tuple("=+*/^<>\\$"), re.compile(r"[=+*/^<>]\s*\d|\\[a-z]+|\$")),
    ("trace", ("Traceback", "Exception", "Error:"), None),
    ("path", ("/", ".py"), re.compile(r"\w/\w+\.\w|\w\.py\b")),
)
# Odd multipliers that spread each kind of feature over the table in its own way.
WORD, PAIR, NEXT, RUN, MIX = map(
    np.uint32, (0x9E3779B1, 0x9E37, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F)
)

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]


class Tool(Struct, frozen=True):
    name: str = ""


class Prompt(Struct, frozen=True, kw_only=True):
    """What a scorer may see of a request."""

    prompt: str
    n_tools: int | None = 0
    tools_chars: int | None = 0
    tools: tuple[Tool, ...] | None = ()


class About(Struct, frozen=True, kw_only=True):
    """What a scorer file says of itself. `means` are the outputs' intercepts; `prior` gives a
    model it has never met a quality by its price; `trade` is the worth of money in `choice`;
    `middle` and `width` map a predicted gain to 0..1 so that 0.5 is the operating point;
    `skills` are the shifts that traffic has taught, by "model label"."""

    format: int = FORMAT
    version: str = ""
    created: str = ""
    sets: dict[str, int] = {}
    outputs: tuple[str, ...] = ()
    means: tuple[float, ...] = ()
    middle: float = 0.0
    width: float = 1.0
    prior: tuple[float, float] = (0.7, 0.1)
    trade: float = 0.1
    measured: dict[str, float] = {}
    skills: dict[str, float] = {}


class Scorer:
    """Read-only after loading. `weights` has a row per feature, a column per output."""

    def __init__(self, about: About, rarity: Floats, weights: NDArray[Any]) -> None:
        self.about = about
        self._rarity, self._weights = rarity, weights
        self._means = np.asarray(about.means, np.float32)
        self._columns = {name: i for i, name in enumerate(about.outputs)}
        column = self._columns.get(PREMIUM)
        self._premium = None if column is None else weights[:, column].astype(np.float32)
        # The same words come again: after a failure, in a batch, from another trial.
        self.needed = lru_cache(REMEMBERED)(self._needed)

    @property
    def version(self) -> str:
        return self.about.version

    def _needed(self, prompt: Prompt) -> float:
        """0..1 that a premium model is needed."""
        if self._premium is None:
            return 0.5
        index, value = self._seen(prompt)
        gain = self._means[self._columns[PREMIUM]] + float(value @ self._premium[index])
        return _squash((float(gain) - self.about.middle) / self.about.width)

    def score(self, prompt: Prompt, models: Mapping[str, float]) -> tuple[dict[str, float], float]:
        """The quality of each model (name: USD of such a request), and the premium need."""
        predicted = self._predict(prompt)
        dearest = max(models.values(), default=0.0) or 1.0
        quality = {
            name: float(predicted[self._columns[name]])
            if name in self._columns
            else self._by_price(usd / dearest)
            for name, usd in models.items()
        }
        column = self._columns.get(PREMIUM)
        gain = float(predicted[column]) if column is not None else self.about.middle
        return quality, _squash((gain - self.about.middle) / self.about.width)

    def choice(self, quality: Mapping[str, float], models: Mapping[str, float]) -> str:
        """The model with the best quality after its price."""
        dearest = max(models.values(), default=0.0) or 1.0
        return max(
            models, key=lambda name: quality[name] - self.about.trade * models[name] / dearest
        )

    def _predict(self, prompt: Prompt) -> Floats:
        index, value = self._seen(prompt)
        weights = self._weights[index].astype(np.float32)
        found: Floats = self._means + np.einsum("i,ij->j", value, weights)
        return found

    def _seen(self, prompt: Prompt) -> tuple[Ints, Floats]:
        """The features of a request: places in the table, and values of length one."""
        index, count = features(prompt)
        value = count * self._rarity[index]
        length = math.sqrt(float(value @ value)) or 1.0
        return index, value / np.float32(length)

    def _by_price(self, share: float) -> float:
        level, slope = self.about.prior
        return min(1.0, max(0.0, level + slope * math.log10(max(share, 1e-4))))

    def with_skills(self, skills: dict[str, float]) -> "Scorer":
        about = msgspec.structs.replace(self.about, skills=self.about.skills | skills)
        return Scorer(about, self._rarity, self._weights)

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                about=np.frombuffer(msgspec.json.encode(self.about), np.uint8),
                rarity=self._rarity.astype(np.float16),
                weights=self._weights.astype(np.float16),
            )


def load_scorer(path: Path) -> Scorer:
    """Raises ConfigError with what is wrong with the file."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            about = msgspec.json.decode(arrays["about"].tobytes(), type=About)
            rarity, weights = arrays["rarity"].astype(np.float32), arrays["weights"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, msgspec.MsgspecError) as error:
        raise ConfigError(
            f"routing.scorer: {path} is no scorer file ({type(error).__name__}); "
            "write one with `modelmuxer router train`"
        ) from None
    shape = (DIMENSIONS, len(about.outputs))
    if about.format != FORMAT or rarity.shape != shape[:1] or weights.shape != shape:
        raise ConfigError(f"routing.scorer: {path} is of another version; train it again")
    return Scorer(about, rarity, weights)


def features(prompt: Prompt) -> tuple[Ints, Floats]:
    """Hashed features of a request: places in the table, and the roots of their counts."""
    text = _clipped(prompt.prompt)
    parts = _letters(text.lower().translate(DIGITS))
    named = [f"t{tool.name}" for tool in prompt.tools or ()] + _shape(prompt, text)
    parts.append(np.array(list(map(_hash, named)), np.uint32))
    place = np.concatenate(parts)
    place = (place ^ (place >> np.uint32(15))) * MIX
    index, count = np.unique(place >> np.uint32(32 - BITS), return_counts=True)
    return index.astype(np.int64), np.sqrt(count).astype(np.float32)


def _clipped(text: str) -> str:
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n{text[-TAIL:]}"


def _letters(plain: str) -> list[NDArray[np.uint32]]:
    """Words, pairs of words, and every run of four bytes."""
    read = list(map(_PIECES.__getitem__, plain.split()))
    hashes = np.array([hash_ for of_words, _ in read for hash_ in of_words], np.uint32)
    parts = [hashes * WORD, hashes[:-1] * PAIR + hashes[1:] * NEXT]
    joined = f" {' '.join([words for _, words in read])} ".encode("utf-8", "surrogatepass")
    if len(joined) >= 4:
        # Each at the byte after the last one's: as they lie there.
        runs: NDArray[np.uint32] = np.ndarray(len(joined) - 3, "<u4", joined, strides=(1,))
        parts.append(runs * RUN)
    return parts


def _piece(piece: str) -> tuple[list[int], str]:
    """A piece of a text without blanks: its words' hashes, and the words apart."""
    words = TOKENS.findall(piece)
    return list(map(_hash, words)), " ".join(words)


_PIECES = Lookup(_piece)


def _hash(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))


def _shape(prompt: Prompt, text: str) -> list[str]:
    """Coarse facts as words of their own: sizes by powers of two, and what occurs."""
    facts = [
        f"#{name}"
        for name, signs, pattern in SHAPES
        if any(sign in text for sign in signs) and (pattern is None or pattern.search(text))
    ]
    sizes = {
        "chars": len(prompt.prompt),
        "lines": prompt.prompt.count("\n"),
        "tools": prompt.n_tools or 0,
        "toolchars": prompt.tools_chars or 0,
    }
    return facts + [f"#{name}{size.bit_length()}" for name, size in sizes.items()]


def _squash(x: float) -> float:
    return 1 / (1 + math.exp(-min(60.0, max(-60.0, x))))
