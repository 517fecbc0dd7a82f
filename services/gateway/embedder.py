"""Texts as vectors, by a sentence embedding model in a folder on this machine.

The folder is laid out as such models are published: `model.onnx` (or `onnx/model.onnx`) and
`tokenizer.json`. Nothing is ever fetched. onnxruntime and tokenizers are the optional extra
`semantic`; one thread of this process computes, off the event loop.
"""

import asyncio
import importlib
import importlib.util
import json
import logging
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from libs.common.settings import Settings
from libs.common.settings.gateway import SemanticSettings
from libs.common.settings.load import ConfigError

log = logging.getLogger(__name__)
NEEDS = ("numpy", "onnxruntime", "tokenizers")
INSTALL = "pip install 'modelmuxer[semantic]'"
# Models of this kind are trained on texts up to about this size.
MAX_TOKENS = 256
# More than so many waiting texts: the cache is skipped rather than the client kept waiting.
MAX_WAITING = 64
SECONDS = 2.0


class Embedder:
    """`vectors` is bounded in time and in what it lets wait."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, "embedder")
        self._model: Model | None = None
        self._waiting = 0

    async def vectors(self, texts: Sequence[str]) -> list[bytes] | None:
        """One vector per text, or None: too long a text, too much waiting, too slow."""
        if self._waiting + len(texts) > MAX_WAITING:
            return None
        self._waiting += len(texts)
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._compute, texts)
        work.add_done_callback(lambda _: self._done(len(texts)))
        try:
            return await asyncio.wait_for(asyncio.shield(work), SECONDS)
        except TimeoutError:
            log.warning("the response cache: embedding took over %s s; not compared", SECONDS)
            return None

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _done(self, count: int) -> None:
        self._waiting -= count

    def _compute(self, texts: Sequence[str]) -> list[bytes] | None:
        if self._model is None:
            self._model = Model(self._folder)
        found = []
        for text in texts:
            vector = self._model.vector(text)
            if vector is None:
                return None
            found.append(vector)
        return found


class Model:
    """A loaded model. Vectors are of length one, as 16-bit floats."""

    def __init__(self, folder: Path) -> None:
        self._numpy: Any = importlib.import_module("numpy")
        runtime: Any = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = runtime.InferenceSession(
            str(_weights(folder)), options, providers=["CPUExecutionProvider"]
        )
        self._takes = {each.name for each in self._session.get_inputs()}
        tokenizer: Any = importlib.import_module("tokenizers")
        self._tokenizer = tokenizer.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._of_first = _pools_first(folder)

    def vector(self, text: str) -> bytes | None:
        """None for a text that is too long to be seen whole, or empty."""
        np = self._numpy
        ids = self._tokenizer.encode(text).ids
        if not 0 < len(ids) <= MAX_TOKENS:
            return None
        given = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, len(ids)), np.int64),
            "token_type_ids": np.zeros((1, len(ids)), np.int64),
        }
        inputs = {name: given[name] for name in given if name in self._takes}
        out = self._session.run(None, inputs)[0][0]
        if out.ndim == 2:  # a vector per token
            out = out[0] if self._of_first else out.mean(0)
        length = float(np.linalg.norm(out))
        return bytes((out / length).astype(np.float16).tobytes()) if length > 0 else None


def similarity(one: bytes, other: bytes) -> float:
    """The cosine of two vectors; 0 for those of different models."""
    if len(one) != len(other):
        return 0.0
    np: Any = importlib.import_module("numpy")
    a, b = (np.frombuffer(each, np.float16).astype(np.float32) for each in (one, other))
    return min(1.0, float(a @ b))


@asynccontextmanager
async def open_embedder(settings: Settings) -> AsyncIterator[Embedder | None]:
    """None where no model is set. Raises ConfigError for what could not work later."""
    semantic = settings.gateway.cache.semantic
    if not semantic.model:
        _check_unused(settings)
        yield None
        return
    _check_usable(semantic)
    embedder = Embedder(Path(semantic.model))
    try:
        yield embedder
    finally:
        embedder.close()


def _check_usable(semantic: SemanticSettings) -> None:
    for name in ("similarity", "words"):
        if not 0 < getattr(semantic, name) <= 1:
            raise ConfigError(f"gateway.cache.semantic.{name}: give a cosine in 0..1, such as 0.97")
    folder = Path(semantic.model)
    if missing := [name for name in NEEDS if importlib.util.find_spec(name) is None]:
        raise ConfigError(
            f"gateway.cache.semantic.model needs {', '.join(missing)}: {INSTALL}, or unset it"
        )
    for file in (_weights(folder), folder / "tokenizer.json"):
        if not file.is_file():
            raise ConfigError(
                f"gateway.cache.semantic.model: {file} is missing; name the folder of a sentence "
                "embedding model in ONNX form (docs/configuration.md#similar-questions)"
            )


def _check_unused(settings: Settings) -> None:
    for name, key in settings.keys.items():
        if key.cache == "semantic":
            raise ConfigError(
                f"keys.{name}.cache: semantic needs a local embedding model: {INSTALL} and set "
                "gateway.cache.semantic.model (docs/configuration.md#similar-questions)"
            )


def _weights(folder: Path) -> Path:
    inside = folder / "onnx" / "model.onnx"
    return inside if inside.is_file() else folder / "model.onnx"


def _pools_first(folder: Path) -> bool:
    """Whether the first token's vector stands for the text, as the model's own notes say; the
    mean of all does otherwise."""
    notes = folder / "1_Pooling" / "config.json"
    if not notes.is_file():
        return False
    return bool(json.loads(notes.read_text()).get("pooling_mode_cls_token"))
