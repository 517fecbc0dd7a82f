"""A wrong setting is told with its place and what would be right."""

from pathlib import Path

import pytest

from libs.common.settings.load import ConfigError, load


@pytest.mark.parametrize(
    "text, words",
    [
        ('[keys.a]\nkey = "sk-mm-a"\ncache = "yes"', "use one of off, read, read-write, semantic"),
        ('[gateway]\nhedge = "always"', "`gateway.hedge`: invalid enum value 'always'; use one of"),
        ('[routing]\nunpriced = "free"', "use one of dearest, refuse, allow"),
        ("[gateway]\nport = true", "`gateway.port`: expected `int`"),
    ],
)
def test_a_wrong_value_names_its_setting_and_the_right_ones(
    tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "modelmuxer.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(str(file), environ={})
    assert words in str(raised.value) and str(file) in str(raised.value)
