"""The whole product, opened once per module."""

from tests.support.fixtures import *  # noqa: F403  fixtures go by name
