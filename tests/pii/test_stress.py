# ruff: noqa: E501 - tables read better on long lines
"""Inputs made to be slow: each rule's anchors, repeated. All must stay bounded and linear."""

import time

import pytest

from services.pii.detector import Detector

SEEDS = (
    "a", "1", "1 ", "12-", "@", "a@", "a.", "a.b@c.", "A1b2C3d4", "0f", "password=", "token: x ", "secret=\"", "key key_", "pass pass:",
    "-----BEGIN PRIVATE KEY-----\n", "://a:", "://a:b@", "eyJhbGciOi", "eyJabcdefghijk.", "sk-ant-", "ghp_", "AKIA", "+49 30 1 ", "+1 ", "1.2.3.",
    "2a00:", "DE12 3456 ", "GB82WEST", "ssn 123-45-", "tel 030 ", "phone,", "call 12345678 ", "bearer ", "mysql -p", " -u a:", "sl.", ":AA", ".atlasv1.", "4539 1488 0343 6467 ",
    "login a password ", "identified by '", "\\\"password\\\": \\\"", "PASSWORD=\n", "x=\"password\" value=\"", "é@ü.", "\u2028",
)  # fmt: skip
DETECTOR = Detector()
MS_PER_KB = 8.0


def seconds(text: str) -> float:
    started = time.process_time()
    DETECTOR.hits(text)
    return time.process_time() - started


@pytest.mark.parametrize("seed", SEEDS)
def test_repeated_anchors_stay_under_the_bound(seed: str) -> None:
    text = (seed * (20_480 // len(seed) + 1))[:20_480]
    assert min(seconds(text), seconds(text)) * 1000 / 20 <= MS_PER_KB


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_five_times_the_text_takes_about_five_times_as_long(seed: str) -> None:
    small, large = seed * (40_960 // len(seed)), seed * (204_800 // len(seed))
    assert min(seconds(large), seconds(large)) <= 5 * 2.5 * max(seconds(small), 0.004)
