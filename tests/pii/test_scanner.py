import subprocess
import sys
from pathlib import Path

import pytest

from libs.common.contracts.pii import Finding
from libs.common.errors import MuxError
from libs.common.settings.pii import PiiLists, PiiSettings
from services.pii.detector import AHEAD, PIECE, Detector
from services.pii.scanner import Scanner, version
from tests.pii.samples import PII_TEMPLATES, SECRET_TEMPLATES, pem, samples
from tests.pii.samples import Random as Chance


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return Scanner(PiiSettings())


def values(scanner: Scanner, text: str, org: str = "default") -> list[tuple[str, str]]:
    return [(f.type, text[f.start : f.end]) for f in scanner.scan(text, org=org)]


def test_the_engine_gives_the_spans_of_the_bare_rules(scanner: Scanner) -> None:
    for sample in samples(SECRET_TEMPLATES + PII_TEMPLATES, 2, seed=5):
        bare = [Finding(h.start, h.end, h.type, h.score) for h in Detector().hits(sample.text)]
        assert list(scanner.scan(sample.text)) == bare


@pytest.mark.parametrize("shift", [-40, -20, -1, 0, 1])
def test_what_straddles_two_pieces_is_found_once(scanner: Scanner, shift: int) -> None:
    text = "x " * ((PIECE + shift) // 2) + "mail anna.berg@northwind.io now " + "y " * 1000
    assert values(scanner, text) == [("EMAIL", "anna.berg@northwind.io")]


def test_a_private_key_over_a_border_is_found_whole(scanner: Scanner) -> None:
    key = pem(Chance(1))
    text = "x " * ((PIECE - 300) // 2) + "\n" + key + "\n" + "y " * AHEAD
    assert values(scanner, text) == [("SECRET", key)]


def test_five_megabytes_are_scanned_in_pieces(scanner: Scanner) -> None:
    text = ("lorem ipsum dolor " * 20_000 + "a.berg@northwind.io ") * 14
    assert len(text) > 5_000_000
    assert values(scanner, text) == [("EMAIL", "a.berg@northwind.io")] * 14


def test_allowed_values_are_not_found_and_denied_ones_always() -> None:
    lists = PiiSettings(
        allow=["a.berg@northwind.io", "@acme.dev"], deny=["Project Heron", "PERSON:Ada Quill"]
    )
    text = "a.berg@northwind.io x@acme.dev y@contoso.de: Project Heron of Ada Quill"
    assert values(Scanner(lists), text) == [
        ("EMAIL", "y@contoso.de"),
        ("CUSTOM", "Project Heron"),
        ("PERSON", "Ada Quill"),
    ]


def test_a_tenant_has_its_own_lists_on_top() -> None:
    settings = PiiSettings(deny=["Heron"], orgs={"acme": PiiLists(allow=["a@contoso.de"])})
    scanner = Scanner(settings)
    assert values(scanner, "Heron a@contoso.de", "acme") == [("CUSTOM", "Heron")]
    assert len(values(scanner, "Heron bo@contoso.de Heronry", "other")) == 2


def test_the_version_changes_with_what_findings_depend_on() -> None:
    plain, listed = PiiSettings(), PiiSettings(allow=["x"])
    assert version(plain) == version(PiiSettings(workers=3)) != version(listed)


def test_a_model_that_is_not_installed_is_named_and_not_downloaded() -> None:
    with pytest.raises(MuxError, match="pii.model: en_core_web_trf is neither"):
        Scanner(PiiSettings(model="en_core_web_trf"))


def test_a_model_finds_names_in_prose_only(tmp_path: Path) -> None:
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Ada Quill"}])
    nlp.to_disk(tmp_path / "names")
    scanner = Scanner(PiiSettings(model=str(tmp_path / "names")))
    text = "Ada Quill, ada@northwind.io"
    assert [f.type for f in scanner.scan(text, prose=True)] == ["PERSON", "EMAIL"]
    assert [f.type for f in scanner.scan(text)] == ["EMAIL"]


def test_the_network_is_never_touched() -> None:
    program = (
        "import socket\n"
        "def refuse(*_): raise SystemExit('network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from services.pii.scanner import Scanner\n"
        "from libs.common.settings.pii import PiiSettings\n"
        "assert len(Scanner(PiiSettings()).scan('mail anna@northwind.io')) == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
