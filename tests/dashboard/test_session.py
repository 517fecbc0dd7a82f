"""Sessions of the web page: signed, ending, and useless to another site."""

import pytest

from libs.common.errors import Forbidden, Unauthenticated
from services.gateway.dashboard.session import COOKIE, Sessions, set_cookie, token_of

SECRET = b"a secret for tests"


def test_a_session_stands_for_the_digest_of_its_key() -> None:
    session = Sessions(SECRET).open("sk-mm-1")
    cookies = f"other=1; {COOKIE}={session.token}"
    assert len(Sessions(SECRET).of_request("GET", cookies, "")) == 64
    assert "sk-mm-1" not in session.token
    assert token_of(cookies) == session.token


def test_without_our_cookie_there_is_no_session() -> None:
    assert Sessions(SECRET).of_request("POST", "other=1", "") == ""


@pytest.mark.parametrize("csrf", ["", "guess"])
def test_an_unsafe_method_needs_the_token_of_the_session(csrf: str) -> None:
    sessions = Sessions(SECRET)
    session = sessions.open("sk-mm-1")
    cookies = f"{COOKIE}={session.token}"
    with pytest.raises(Forbidden, match="x-modelmuxer-csrf"):
        sessions.of_request("DELETE", cookies, csrf)
    assert sessions.of_request("DELETE", cookies, session.csrf)
    with pytest.raises(Forbidden):
        sessions.of_request("DELETE", cookies, sessions.open("sk-mm-2").csrf)


def test_a_session_ends() -> None:
    now = [1000.0]
    sessions = Sessions(SECRET, hours=1, now=lambda: now[0])
    token = sessions.open("sk-mm-1").token
    now[0] += 3601
    with pytest.raises(Unauthenticated, match="ended"):
        sessions.read(token)


@pytest.mark.parametrize("token", ["", "a.b", "{0}x", "x{0}"])
def test_a_changed_token_is_refused(token: str) -> None:
    good = Sessions(SECRET).open("sk-mm-1").token
    with pytest.raises(Unauthenticated):
        Sessions(SECRET).read(token.format(good))
    with pytest.raises(Unauthenticated):
        Sessions(b"another secret").read(good)


def test_the_cookie_is_for_our_page_only() -> None:
    cookie = set_cookie("t", 60, secure=True)
    assert cookie == f"{COOKIE}=t; Path=/; HttpOnly; SameSite=Strict; Max-Age=60; Secure"
    assert "Max-Age=0" in set_cookie("", 60, secure=False)
