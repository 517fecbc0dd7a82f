"""`modelmuxer pii scan` and `modelmuxer pii explain`: the service's own rules on your own files.

Nothing leaves the machine, and no found value is printed.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer

from libs.common.contracts.pii import Finding, Reason
from libs.common.errors import MuxError
from libs.common.settings.load import ConfigError, load
from libs.common.settings.pii import PiiSettings
from libs.common.tables import Column, table

app = typer.Typer(
    help="Find personal data and secrets with the gateway's own rules.",
    pretty_exceptions_enable=False,
)

File = Annotated[str, typer.Argument(help="A text file, or - for standard input.")]
Org = Annotated[str, typer.Option(help="Apply this tenant's allow and deny lists too.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object with all findings.")]
Jsonl = Annotated[
    bool,
    typer.Option(
        "--jsonl",
        help='Read {"id","text"} a line, write {"id","spans":[{"start","end","type","score"}]}.',
    ),
]
Config = Annotated[str, typer.Option(help="The configuration file.")]


class Line(msgspec.Struct):
    text: str
    id: str | int = ""


@app.command()
def scan(
    file: File,
    jsonl: Jsonl = False,
    as_json: Json = False,
    org: Org = "default",
    config: Config = "",
) -> None:
    """Show what would be masked: type, place and score, never the value.

    Example: modelmuxer pii scan .env    or    git diff | modelmuxer pii scan -
    """
    if jsonl:
        _scan_lines(file, org, config)
        return
    text = _read(file)
    findings = _scanner(config)[0](text, org)
    if as_json:
        _print_json({"spans": [_span(finding) for finding in findings]})
        return
    rows = [(f.type, _place(text, f.start), f"{f.score:.2f}") for f in findings]
    _print_table(("type", "line:column", "score"), rows, f"{len(rows)} findings in {file}")


@app.command()
def explain(file: File, as_json: Json = False, org: Org = "default", config: Config = "") -> None:
    """Show why each finding is one: the rule that found it.

    Example: echo "mail anna@northwind.io" | modelmuxer pii explain -
    """
    text = _read(file)
    reasons = _scanner(config)[1](text, org)
    if as_json:
        _print_json({"reasons": [{**_span(r.finding), "why": r.why} for r in reasons]})
        return
    rows = [(r.finding.type, _place(text, r.finding.start), r.why) for r in reasons]
    _print_table(("type", "line:column", "why"), rows, f"{len(rows)} findings in {file}")


def _scan_lines(file: str, org: str, config: str) -> None:
    find = _scanner(config)[0]
    decoder = msgspec.json.Decoder(Line)
    for number, raw in enumerate(_lines(file), 1):
        if not raw.strip():
            continue
        line = _decoded(decoder, raw, number)
        spans = [_span(finding) for finding in find(line.text, org)]
        sys.stdout.write(json.dumps({"id": line.id, "spans": spans}) + "\n")
    sys.stdout.flush()


def _decoded(decoder: "msgspec.json.Decoder[Line]", raw: bytes, number: int) -> Line:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        _fail(f'line {number}: {error}; each line is an object {{"id", "text"}}')
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        # The standard library takes lone surrogates, which msgspec refuses.
        return msgspec.convert(json.loads(raw), Line)
    except ValueError as error:
        _fail(f'line {number}: {error}; each line is an object {{"id", "text"}}')


Find = Callable[[str, str], tuple[Finding, ...]]
Explain = Callable[[str, str], tuple[Reason, ...]]


def _scanner(config: str) -> tuple[Find, Explain]:
    # The engine takes seconds to import: not for `--help`.
    from services.pii.scanner import Scanner

    try:
        scanner = Scanner(_settings(config))
    except MuxError as error:
        _fail(error.detail)
    return (
        lambda text, org: scanner.scan(text, prose=True, org=org),
        lambda text, org: scanner.explain(text, org=org),
    )


def _settings(config: str) -> PiiSettings:
    try:
        return load(config or None).settings.pii
    except ConfigError as error:
        _fail(str(error))


def _read(file: str) -> str:
    return b"".join(_lines(file)).decode("utf-8", "replace")


def _lines(file: str) -> Iterator[bytes]:
    if file == "-":
        yield from sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as stream:
            yield from stream
    except OSError as error:
        _fail(f"{file}: {error.strerror}")


def _place(text: str, at: int) -> str:
    return f"{text.count(chr(10), 0, at) + 1}:{at - text.rfind(chr(10), 0, at)}"


def _span(finding: Finding) -> dict[str, object]:
    start, end, type_, score = finding.start, finding.end, finding.type, finding.score
    return {"start": start, "end": end, "type": type_, "score": score}


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def _print_table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], caption: str) -> None:
    columns = [Column(head, least=12) for head in heads]
    sys.stdout.write(f"{table(columns, rows)}\n{caption}\n")


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"modelmuxer pii: {message}\n")
    raise typer.Exit(2)
