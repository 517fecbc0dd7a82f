"""Train, save, load and score, on small sets made up here."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from libs.common.settings.load import ConfigError
from services.router.cli import app
from services.router.pareto import pareto
from services.router.scorer import SHIPPED, Prompt, Scorer, features, load_scorer
from services.router.sets import Set, read_sets
from services.router.train import train

HARD = ("prove the theorem about prime ideals", "derive the tensor identity for manifolds")
EASY = ("name a colour of the rainbow", "say hello to my friend")


def write_sets(folder: Path, rows: int = 60) -> Path:
    """Two sets: the small model fails at hard prompts, a third one is dear and bad."""
    dice = random.Random(1)
    for name in ("one", "two"):
        lines = []
        for _ in range(rows):
            hard = dice.random() < 0.5
            text = f"{dice.choice(HARD if hard else EASY)} number {dice.randint(0, 999)}"
            small, large = float(not hard), 1.0
            models = {
                "small": {"q": small, "cost": 0.001},
                "large": {"q": large, "cost": 0.02},
                "bad": {"q": 0.1, "cost": 0.01},
            }
            lines.append(json.dumps({"prompt": text, "models": models}))
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    pair = {"cheap": "small", "premium": "large"}
    (folder / "meta.json").write_text(json.dumps({"one": pair, "two": pair}))
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[Set]:
    return read_sets(write_sets(tmp_path_factory.mktemp("sets")))


@pytest.fixture(scope="module")
def scorer(sets: list[Set]) -> Scorer:
    return train(sets)


def test_the_premium_need_is_learnt(scorer: Scorer) -> None:
    hard = [scorer.needed(Prompt(prompt=f"{text} number 7")) for text in HARD]
    easy = [scorer.needed(Prompt(prompt=f"{text} number 7")) for text in EASY]
    assert min(hard) > 0.45 > 0.25 > max(easy)


def test_each_model_has_a_quality_and_the_choice_weighs_it_against_the_price(
    scorer: Scorer,
) -> None:
    models = {"small": 0.001, "large": 0.02, "bad": 0.01}
    for text, choice in ((HARD[0], "large"), (EASY[0], "small")):
        quality, _ = scorer.score(Prompt(prompt=text), models)
        assert quality["bad"] < 0.5
        assert scorer.choice(quality, models) == choice


def test_a_model_never_met_is_judged_by_its_price(scorer: Scorer) -> None:
    quality, _ = scorer.score(Prompt(prompt="x"), {"new dear": 1.0, "new cheap": 0.001})
    assert quality["new dear"] >= quality["new cheap"]


def test_cross_validation_keeps_the_quality_it_was_told_to(scorer: Scorer) -> None:
    assert scorer.about.measured["cross-validated quality kept"] >= 0.96
    assert scorer.about.measured["cross-validated saving"] > 0.3


def test_a_scorer_survives_its_file(scorer: Scorer, tmp_path: Path) -> None:
    scorer.save(tmp_path / "s.npz")
    again = load_scorer(tmp_path / "s.npz")
    prompt = Prompt(prompt=HARD[1])
    assert again.needed(prompt) == pytest.approx(scorer.needed(prompt), abs=1e-3)
    assert again.about == scorer.about


@pytest.mark.parametrize("content", [b"", b"not a scorer", b"PK\x03\x04broken"])
def test_a_broken_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="router train"):
        load_scorer(path)


def test_the_shipped_scorer_is_small_and_says_what_it_was_trained_on() -> None:
    about = load_scorer(SHIPPED).about
    assert SHIPPED.stat().st_size < 300_000
    assert set(about.sets) == {"mmlu", "rb_arc_challenge", "rb_mbpp", "routerarena"}


@pytest.mark.parametrize("text", ["", " ", "é" * 5000, "\ud83d", "💥" * 300, "a" * 100_000, "\0"])
def test_any_text_has_features(text: str) -> None:
    index, count = features(Prompt(prompt=text))
    assert len(index) == len(count) == len(np.unique(index)) > 0
    assert np.isfinite(count).all()


def test_the_pareto_report_names_what_dominates(sets: list[Set]) -> None:
    by_model = {each.model: each.dominated_by for each in pareto(sets) if each.set == "one"}
    assert by_model == {"small": "", "large": "", "bad": "small"}


def test_the_commands_train_score_and_report(tmp_path: Path) -> None:
    data, out = write_sets(tmp_path), tmp_path / "out.npz"
    run = CliRunner().invoke
    trained = run(app, ["train", "--data", str(data), "--out", str(out)])
    assert trained.exit_code == 0, trained.output
    line = json.dumps({"prompt": HARD[0], "models": {"small": 0.001, "large": 0.02}})
    scored = run(app, ["score", "--scorer", str(out), "--jsonl"], input=f"{line}\n{line}\n")
    answers = [json.loads(answer) for answer in scored.stdout.splitlines()]
    assert [answer["choice"] for answer in answers] == ["large", "large"]
    assert 0.5 < answers[0]["premium_needed"] <= 1
    report = run(app, ["pareto", "--data", str(data), "--json"])
    assert json.loads(report.stdout)[0]["model"] == "small"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--out", "x.npz"], "give --data"),
        (["train", "--data", "/nowhere", "--out", "x.npz"], "no *.jsonl"),
        (["score", "--scorer", "/nowhere"], "is no scorer file"),
        (["pareto", "--data", "/nowhere"], "no *.jsonl"),
        (["explain", "hello"], "does not answer"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELMUXER_URL", "http://127.0.0.1:9")
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 2
    assert words in found.output


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"prompt": "a", "models": {}}\n{"no": 1}\n')
    with pytest.raises(ConfigError, match=r"s\.jsonl:2"):
        read_sets(tmp_path)
