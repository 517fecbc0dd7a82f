"""Run the stand-in alone."""

import argparse
import asyncio
import contextlib
import signal
import sys

from tests.support.provider.server import running
from tests.support.provider.state import KEY


async def serve(port: int, key: str) -> None:
    stop = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    async with running(port, key) as provider:
        sys.stderr.write(f"stand-in at {provider.url}, key {key}\n")
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--key", default=KEY)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.port, arguments.key))
