"""What `nats stream backup` and `nats stream restore` say to the server (JetStream's API: the
subjects `$JS.API.STREAM.SNAPSHOT.*` and `$JS.API.STREAM.RESTORE.*`)."""

import asyncio
import json
from typing import Any

from nats.aio.client import Client


async def backup(client: Client, stream: str) -> tuple[dict[str, Any], list[bytes]]:
    """The stream's configuration and state, and its contents with its consumers, in chunks."""
    inbox = client.new_inbox()
    arriving = await client.subscribe(inbox)
    asked = {"deliver_subject": inbox, "no_consumers": False, "jsck": True, "chunk_size": 65536}
    answer = await _api(client, f"$JS.API.STREAM.SNAPSHOT.{stream}", asked)
    chunks = []
    while (message := await arriving.next_msg(timeout=5)).data:
        chunks.append(message.data)
        if message.reply:
            await message.respond(b"")
    await arriving.unsubscribe()
    return {"config": answer["config"], "state": answer["state"]}, chunks


async def restore(client: Client, kept: dict[str, Any], chunks: list[bytes]) -> dict[str, Any]:
    """What the server says of the stream it has again."""
    answer = await _api(client, f"$JS.API.STREAM.RESTORE.{kept['config']['name']}", kept)
    for chunk in chunks:
        await client.request(answer["deliver_subject"], chunk, timeout=5)
    last = await client.request(answer["deliver_subject"], b"", timeout=5)
    return _checked(last.data)


async def _api(client: Client, subject: str, asked: dict[str, Any]) -> dict[str, Any]:
    async with asyncio.timeout(5):
        return _checked((await client.request(subject, json.dumps(asked).encode())).data)


def _checked(data: bytes) -> dict[str, Any]:
    answer = dict(json.loads(data))
    assert "error" not in answer, answer["error"]
    return answer
