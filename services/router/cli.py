"""`modelmuxer router train|score|pareto|explain`: fit the scorer, use it, look at the pool."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import msgspec
import typer
from msgspec.structs import replace
from rich.console import Console
from rich.progress import Progress

from libs.common.bus import Bus
from libs.common.errors import MuxError
from libs.common.settings.load import ConfigError, load
from libs.common.tables import Column, figure, table
from services.router.learn import Lessons
from services.router.pareto import pareto as standings_of
from services.router.replay import replay
from services.router.scorer import SHIPPED, Prompt, Scorer, load_scorer
from services.router.sets import read_sets
from services.router.train import train as fit

app = typer.Typer(
    help="Fit and use the scorer, and see which models of a pool earn their place.",
    pretty_exceptions_enable=False,
)
Data = Annotated[
    Path, typer.Option(help="A folder of *.jsonl sets and meta.json, see docs/routing.md.")
]
Out = Annotated[Path, typer.Option(help="Where to write the scorer; the router reloads it.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object.")]
STANDINGS = (
    Column("set", least=8),
    Column("model", least=12),
    figure("quality"),
    figure("USD/request"),
    Column("dominated by", least=12),
)
CANDIDATES = (
    Column("model", least=12),
    Column("provider", least=9),
    figure("quality"),
    figure("expected USD"),
    figure("worst case USD", spare=1),
    Column("why", least=16),
)


HTTP_SECONDS = 10.0


class Line(msgspec.Struct, frozen=True):
    """A line of `score`."""

    models: dict[str, float] = {}


@app.command()
def train(
    out: Out,
    data: Annotated[Path | None, typer.Option(help="A folder of sets.")] = None,
    sets: Annotated[str, typer.Option(help="Only these sets, by comma.")] = "",
    models: Annotated[bool, typer.Option(help="Also fit one regression per model.")] = True,
    from_traffic: Annotated[
        bool, typer.Option("--from-traffic", help="Learn skills from the journal's outcomes.")
    ] = False,
    config: Annotated[str, typer.Option(help="The configuration file.")] = "",
) -> None:
    """Fit a scorer on recorded outcomes, or teach one from your own traffic.

    Example: modelmuxer router train --data ./sets --out scorer.npz
    """
    if data is None and not from_traffic:
        _fail("give --data DIR, or --from-traffic")
    try:
        scorer = _fitted(data, sets, models) if data else _current(config)
        if from_traffic:
            scorer = _taught(scorer, config)
        scorer.save(out)
    except (ConfigError, MuxError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{out}: {error.strerror}")
    Console(stderr=True).print(
        f"{out}: {len(scorer.about.outputs)} outputs, {out.stat().st_size / 1e6:.1f} MB, "
        f"{len(scorer.about.skills)} skills; {scorer.about.measured}"
    )


@app.command()
def score(
    scorer: Annotated[Path, typer.Option(help="A file of `router train`.")] = SHIPPED,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="A request a line (the default).")] = True,
) -> None:
    """Score requests from standard input, one JSON object a line.

    Example: echo '{"prompt": "2+2?", "models": {"a": 0.01, "b": 0.1}}' | modelmuxer router score
    """
    try:
        loaded = load_scorer(scorer)
    except ConfigError as error:
        _fail(str(error))
    for number, line in enumerate(sys.stdin.buffer, 1):
        if line.strip():
            sys.stdout.write(_scored(loaded, line, number) + "\n")
    sys.stdout.flush()


@app.command()
def pareto(data: Data, as_json: Json = False) -> None:
    """Show cost against quality of every model, and which are dominated.

    Example: modelmuxer router pareto --data ./sets
    """
    try:
        standings = standings_of(read_sets(data))
    except ConfigError as error:
        _fail(str(error))
    if as_json:
        sys.stdout.write(msgspec.json.encode(standings).decode() + "\n")
        return
    rows = [
        [each.set, each.model, f"{each.quality:.3f}", f"{each.cost:.6f}", each.dominated_by]
        for each in standings
    ]
    sys.stdout.write(table(STANDINGS, rows) + "\n")


@app.command()
def about(scorer: Annotated[Path, typer.Option(help="A scorer file.")] = SHIPPED) -> None:
    """Show what a scorer was trained on and what it scored.

    Example: modelmuxer router about --scorer scorer.npz
    """
    try:
        sys.stdout.write(msgspec.json.encode(load_scorer(scorer).about).decode() + "\n")
    except ConfigError as error:
        _fail(str(error))


@app.command()
def explain(
    prompt: Annotated[str, typer.Argument(help="What you would ask.")],
    model: Annotated[str, typer.Option(help="The model you would name.")] = "modelmuxer-auto",
    as_json: Json = False,
) -> None:
    """Ask a running gateway which model would answer, and why, without calling it.

    Example: modelmuxer router explain "What is the capital of France?"
    """
    answer = _asked_gateway(prompt, model)
    if as_json:
        sys.stdout.write(json.dumps(answer) + "\n")
        return
    cells = ("model", "provider", "quality", "expected_usd", "worst_case_usd", "why")
    rows = [[str(each[name]) for name in cells] for each in answer["candidates"]]
    sys.stdout.write(f"{answer['reason']}\n{table(CANDIDATES, rows)}\n")


def _asked_gateway(prompt: str, model: str) -> dict[str, Any]:
    """The answer of `POST /v1/route`."""
    url = os.environ.get("MODELMUXER_URL", "http://127.0.0.1:8000")
    key = os.environ.get("MODELMUXER_KEY", "sk-test-claude-dev")
    turn = {"role": "user", "content": prompt}
    body = json.dumps({"model": model, "max_tokens": 1024, "messages": [turn]}).encode()
    headers = {"content-type": "application/json", "x-api-key": key}
    request = Request(f"{url.rstrip('/')}/v1/route", body, headers)
    try:
        with urlopen(request, timeout=HTTP_SECONDS) as reply:
            answer: dict[str, Any] = json.load(reply)
            return answer
    except HTTPError as error:
        _fail(f"{url}: {error.code} {error.read(500).decode(errors='replace')}")
    except (URLError, OSError, ValueError) as error:
        _fail(f"{url} does not answer ({error}); start it with `modelmuxer up`")


def _fitted(data: Path, names: str, models: bool) -> Scorer:
    sets = read_sets(data)
    if names:
        wanted = names.split(",")
        sets = [each for each in sets if each.name in wanted]
        if missing := set(wanted) - {each.name for each in sets}:
            raise ConfigError(f"{data}: has no set {', '.join(sorted(missing))}")
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=None)

        def progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        return fit(sets, models=models, progress=progress)


def _current(config: str) -> Scorer:
    name = load(config or None).settings.routing.scorer
    return load_scorer(Path(name) if name and name != "off" else SHIPPED)


def _taught(scorer: Scorer, config: str) -> Scorer:
    """The scorer with the skills that the journal's outcomes teach."""
    lessons = asyncio.run(_lessons(config))
    if not lessons.count:
        raise ConfigError("the journal holds no decision with an outcome yet")
    return scorer.with_skills(lessons.skills())


async def _lessons(config: str) -> Lessons:
    settings = load(config or None).settings
    nats = replace(settings.nats, url=settings.nats_url or settings.nats.url)
    bus = await Bus.connect(nats, "router")
    try:
        return await replay(bus)
    finally:
        await bus.close()


def _scored(scorer: Scorer, line: bytes, number: int) -> str:
    try:
        prompt = msgspec.json.decode(line, type=Prompt)
        models = msgspec.json.decode(line, type=Line).models
    except msgspec.MsgspecError as error:
        _fail(f"line {number}: {error}")
    quality, needed = scorer.score(prompt, models)
    answer: dict[str, Any] = {
        "quality": {name: round(value, 5) for name, value in quality.items()},
        "premium_needed": round(needed, 6),
        "choice": scorer.choice(quality, models) if models else "",
    }
    return json.dumps(answer)


def _fail(words: str) -> NoReturn:
    sys.stderr.write(f"modelmuxer router: {words}\n")
    raise typer.Exit(2)
