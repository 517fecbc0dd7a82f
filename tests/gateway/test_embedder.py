"""The embedding model of the response cache: checked at start, bounded, off the loop."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from libs.common.settings import Settings
from libs.common.settings.gateway import CacheSettings, GatewaySettings, SemanticSettings
from libs.common.settings.keys import KeySettings
from libs.common.settings.load import ConfigError
from services.gateway.embedder import MAX_WAITING, Embedder, Model, open_embedder, similarity
from tests.support.embedder import build

pytestmark = pytest.mark.anyio


def settings(model: str) -> Settings:
    semantic = SemanticSettings(model=model)
    return Settings(gateway=GatewaySettings(cache=CacheSettings(semantic=semantic)))


async def refusal(of: Settings) -> str:
    with pytest.raises(ConfigError) as refused:
        async with open_embedder(of):
            pass
    return str(refused.value)


async def test_without_a_model_there_is_no_embedder() -> None:
    async with open_embedder(Settings()) as embedder:
        assert embedder is None


async def test_a_key_that_wants_what_is_not_there_is_named() -> None:
    key = KeySettings(key="sk-mm-a", cache="semantic")
    assert "keys.ada.cache" in await refusal(Settings(keys={"ada": key}))


async def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    said = await refusal(settings("/models/mini"))
    assert "needs onnxruntime" in said and "modelmuxer[semantic]" in said


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (build(tmp_path) / "tokenizer.json").unlink()
    assert str(tmp_path / "tokenizer.json") in await refusal(settings(str(tmp_path)))


async def test_a_threshold_is_a_cosine() -> None:
    semantic = SemanticSettings(model="/models/mini", similarity=97)
    of = Settings(gateway=GatewaySettings(cache=CacheSettings(semantic=semantic)))
    assert "gateway.cache.semantic.similarity" in await refusal(of)


async def test_the_same_meaning_has_the_same_vector(tmp_path: Path) -> None:
    async with open_embedder(settings(str(build(tmp_path)))) as embedder:
        assert embedder
        found = await embedder.vectors(["explain decorators", "describe decorators", "a train"])
    assert found and similarity(found[0], found[1]) > 0.999 > 0.2 > similarity(found[0], found[2])
    assert similarity(found[0], b"") == 0


async def test_what_cannot_be_seen_whole_has_no_vector(tmp_path: Path) -> None:
    embedder = Embedder(build(tmp_path))
    assert await embedder.vectors(["train " * 300]) is None
    assert await embedder.vectors(["train"] * (MAX_WAITING + 1)) is None
    embedder.close()


async def test_the_loop_goes_on_while_a_text_is_computed(tmp_path: Path) -> None:
    embedder = Embedder(build(tmp_path))
    work = asyncio.ensure_future(embedder.vectors(["train"]))
    await asyncio.sleep(0)
    assert not work.done()
    assert await work
    embedder.close()


def test_the_models_own_notes_say_how_it_pools(tmp_path: Path) -> None:
    folder = build(tmp_path)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    model = Model(folder)
    assert model.vector("train paris") == model.vector("train london")


def test_weights_may_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    folder = build(tmp_path)
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model.onnx")
    assert Model(folder).vector("train")
