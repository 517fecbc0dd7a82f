import io

from services.launcher.output import Output

LINES = ["10:00:00 I pii is ready", "10:00:00 W a provider key is one of ours", "oh no"]


def said(show: bool) -> str:
    stream = io.StringIO()
    output = Output(stream, hold=True)
    for line in LINES:
        output.say("pii", line)
    assert stream.getvalue() == ""
    output.stop_holding(show=show)
    output.say("pii", "10:00:01 I later")
    return stream.getvalue()


def test_a_start_that_works_shows_only_what_warns() -> None:
    shown = said(show=False)
    assert "is ready" not in shown
    assert "one of ours" in shown and "oh no" in shown and "later" in shown


def test_what_the_banner_tells_is_not_said_before_it() -> None:
    stream = io.StringIO()
    output = Output(stream, hold=True)
    output.say("pii", *LINES)
    output.stop_holding(show=False, told=["a provider key is one of ours"])
    assert stream.getvalue() == "pii       │ oh no\n"


def test_a_start_that_fails_shows_everything() -> None:
    assert all(line in said(show=True) for line in LINES)


def test_a_terminal_that_went_away_does_not_stop_the_launcher() -> None:
    stream = io.StringIO()
    output = Output(stream)
    stream.close()
    output.write("into the void")
    output.write("again")
