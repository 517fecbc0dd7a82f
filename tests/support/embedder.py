"""A small sentence embedding model in ONNX form, laid out as such models are published.

It knows the words below: those of one line mean the same, all others something else, and fillers
next to nothing. A text is the mean of its words, as with the models it stands for.
"""

from pathlib import Path
from typing import Any

import pytest

MEANINGS = (
    "explain describe", "tutorial introduction", "monorail", "automobile vehicle", "repair mend",
    "capital", "france", "germany", "python", "java", "decorators", "generators", "metre", "feet",
    "paris", "london", "train", "convert", "celsius", "fahrenheit", "of", "in", "to", "from", "how",
    "not", "increase decrease", "100", "101", "user_id", "order_id", "sorted", "list", "john",
    "flights", "fast", "write", "poem", "about", "mail", "send", "who", "was", "president",
)  # fmt: skip
FILLERS = "what is the a an are do does please tell me can you i ? . ,"


def build(folder: Path) -> Path:
    """Write the model; skips the test where the packages are missing."""
    why = "needs `pip install 'modelmuxer[semantic-tests]'`"
    for name in ("onnxruntime", "tokenizers"):
        pytest.importorskip(name, reason=why)
    onnx: Any = pytest.importorskip("onnx", reason=why)
    np: Any = pytest.importorskip("numpy")
    folder.mkdir(parents=True, exist_ok=True)
    meanings = [line.split() for line in (FILLERS, "[UNK]", *MEANINGS)]
    words = [word for meaning in meanings for word in meaning]
    table = np.eye(len(meanings), dtype=np.float32)
    table[0] *= 1e-3
    rows = [table[number] for number, meaning in enumerate(meanings) for _ in meaning]
    _write_tokenizer(folder / "tokenizer.json", words)
    _write_model(onnx, folder / "model.onnx", np.stack(rows))
    return folder


def _write_tokenizer(file: Path, words: list[str]) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(file))


def _write_model(onnx: Any, file: Path, table: Any) -> None:
    make = onnx.helper
    ids = make.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, [1, None])
    out = make.make_tensor_value_info(
        "last_hidden_state", onnx.TensorProto.FLOAT, [1, None, table.shape[1]]
    )
    weights = onnx.numpy_helper.from_array(table, "table")
    node = make.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"], axis=0)
    graph = make.make_graph([node], "words", [ids], [out], [weights])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(file))
