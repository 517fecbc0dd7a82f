"""A wrong setting is told with its place and what would be right."""

from pathlib import Path

import pytest

from libs.common.settings.load import ConfigError, Loaded, load


def loaded(folder: Path, text: str, **environ: str) -> Loaded:
    file = folder / "modelmuxer.toml"
    file.write_text(text)
    return load(str(file), environ=environ)


@pytest.mark.parametrize(
    "text, words",
    [
        ('[keys.a]\nkey = "sk-mm-a"\ncache = "yes"', "use one of off, read, read-write, semantic"),
        ('[gateway]\nhedge = "always"', "`gateway.hedge`: invalid enum value 'always'; use one of"),
        ('[routing]\nunpriced = "free"', "use one of dearest, refuse, allow"),
        ("[gateway]\nport = true", "`gateway.port`: expected `int`"),
        ("[gateway]\nport = 99999", "`gateway.port`: expected `int` <= 65535"),
        ("gateway = 5", "`gateway`: expected a table, got `int`"),
        ("providers = 5", "`providers`: expected a table, got `int`"),
        ("[providers]\nopenai = 5", "`providers.openai`: expected a table, got `int`"),
        ("[pii]\nallow = [1]", "`pii.allow[0]`: expected text, got `int`"),
        (
            '[pii.teams.hr]\nIBAN = "hide"',
            "`pii.teams.hr.IBAN`: invalid enum value 'hide'",
        ),
    ],
)
def test_a_wrong_value_names_its_setting_and_the_right_ones(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, text, OPENAI_API_KEY="sk-x")
    assert words in str(raised.value) and str(tmp_path / "modelmuxer.toml") in str(raised.value)


TEN_KEYS = "".join(f'[keys.k{number}]\nkey = "sk-{number}"\n' for number in range(10))


@pytest.mark.parametrize(
    "text, words",
    [
        (
            '[providers.openai]\nweight = 2\n[providers.anthropic]\nbase_urll = "x"',
            "unknown setting `providers.anthropic.base_urll` (did you mean `base_url`?)",
        ),
        (TEN_KEYS + 'routing = "any"', "`keys.k9.routing`: invalid enum value 'any'; use one of"),
        (TEN_KEYS + '[keys.ann]\nteam = "core"', "`keys.ann`: lacks `key`"),
        ('[routing.fallbacks]\na = ["b"]\nc = ["d", 1]', "`routing.fallbacks.c[1]`: expected"),
        ("[[routing.rules]]\n[[routing.rules]]\nusee = 'x'", "`routing.rules[1].usee` (did you"),
        ('[models."gpt-4.1"]\ntools = "yes"', "`models.gpt-4.1.tools`: expected `bool | null`"),
    ],
)  # fmt: skip
def test_below_a_table_of_names_the_very_name_is_told(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, text)
    assert words in str(raised.value)


def test_a_variable_below_a_table_of_names_is_told_by_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"environment \(MODELMUXER_KEYS__K3__RPM\): `keys.k3.r"):
        loaded(tmp_path, TEN_KEYS, MODELMUXER_KEYS__K3__RPM="many")


def test_a_number_in_quotes_is_none_in_the_file_and_one_in_the_environment(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, '[gateway]\nport = "8000"')
    assert "`gateway.port`: expected `int`, got text; write it without" in str(raised.value)
    environ = {"MODELMUXER_GATEWAY__PORT": "8001", "MODELMUXER_GATEWAY__ECHO_MODEL": "true"}
    gateway = loaded(tmp_path, "[gateway]\nport = 8000", **environ).settings.gateway
    assert (gateway.port, gateway.echo_model) == (8001, True)


def test_a_secret_in_the_file_is_told_by_its_location_wherever_text_may_stand(
    tmp_path: Path,
) -> None:
    text = 'secret = "env:S"\n[keys.a]\nkey = "env:A"\n[ledger.webhook]\nsecret = "file:w"'
    settings = loaded(tmp_path, text, MODELMUXER_KEYS__A__RPM="60").settings
    assert (settings.keys["a"].key, settings.keys["a"].rpm) == ("env:A", 60)


def test_the_shipped_file_is_short_and_changes_nothing() -> None:
    file = Path(__file__).parents[2] / "modelmuxer.toml"
    assert len(file.read_text().splitlines()) <= 15
    assert load(str(file), environ={}).settings == load(environ={}).settings
