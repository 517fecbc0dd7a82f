import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from prometheus_client import REGISTRY

from libs.common import bus as bus_module
from libs.common.bus import Bus
from libs.common.contracts.identity import LOOK_UP_KEY, FoundKey, LookUpKey, Principal
from libs.common.contracts.usage import USED, Usage
from libs.common.errors import BudgetExceeded, MuxError, NotFound, Unavailable
from libs.common.journal import Consumer, ensure_streams
from libs.common.outbox import Outbox
from libs.common.settings.bus import BusSettings
from libs.common.settings.journal import JournalSettings
from tests.support.servers import Server

pytestmark = pytest.mark.anyio
ASK = LookUpKey(sha256="x")


def usage(number: int) -> Usage:
    return Usage(request_id=f"r{number}", attempt=1, at=0.0, principal=Principal(key_id="k"))


async def pair(nats: Server) -> tuple[Bus, Bus]:
    settings = BusSettings(url=nats.url)
    return await Bus.connect(settings, "server"), await Bus.connect(settings, "client")


async def test_calls_to_one_replica_run_in_parallel(nats: Server) -> None:
    server, client = await pair(nats)

    async def slow(_: LookUpKey) -> FoundKey:
        await asyncio.sleep(0.05)
        return FoundKey()

    await server.serve(LOOK_UP_KEY, slow)
    start = time.monotonic()
    await asyncio.gather(*(client.ask(LOOK_UP_KEY, ASK) for _ in range(20)))
    assert time.monotonic() - start < 0.5
    await client.close()
    await server.close()


async def test_an_error_arrives_as_the_error_that_was_raised(nats: Server) -> None:
    server, client = await pair(nats)

    async def refuse(_: LookUpKey) -> FoundKey:
        raise BudgetExceeded("größer\nals erlaubt", {"limit": "5"})

    await server.serve(LOOK_UP_KEY, refuse)
    with pytest.raises(BudgetExceeded) as caught:
        await client.ask(LOOK_UP_KEY, ASK)
    assert caught.value.detail == "größer\nals erlaubt"
    assert caught.value.data == {"limit": "5"}
    await client.close()
    await server.close()


async def test_a_bug_in_a_handler_is_answered_at_once_and_leaks_nothing(nats: Server) -> None:
    server, client = await pair(nats)

    async def broken(_: LookUpKey) -> FoundKey:
        raise RuntimeError("secret inside")

    await server.serve(LOOK_UP_KEY, broken)
    with pytest.raises(MuxError) as caught:
        await client.ask(LOOK_UP_KEY, ASK, timeout=1)
    assert "secret" not in caught.value.detail
    await client.close()
    await server.close()


async def test_who_does_not_answer_is_said_in_plain_words(nats: Server) -> None:
    server, client = await pair(nats)

    async def slow(_: LookUpKey) -> FoundKey:
        await asyncio.sleep(60)
        return FoundKey()

    with pytest.raises(Unavailable, match="the ledger service is not running"):
        await client.ask(LOOK_UP_KEY, ASK)
    await server.serve(LOOK_UP_KEY, slow)
    with pytest.raises(Unavailable, match=r"the ledger service did not answer within 0\.1 s"):
        await client.ask(LOOK_UP_KEY, ASK, timeout=0.1)
    await client.client.close()
    with pytest.raises(Unavailable, match=r"the message bus \(NATS\) is away"):
        await client.ask(LOOK_UP_KEY, ASK)
    await server.client.close()


async def test_a_long_answer_is_waited_for_while_its_service_moves(nats: Server) -> None:
    server, client = await pair(nats)

    async def slow(_: LookUpKey) -> FoundKey:
        await asyncio.sleep(1.3)
        return FoundKey()

    await server.serve(LOOK_UP_KEY, slow)
    assert await client.ask_long(LOOK_UP_KEY, ASK, 30) == FoundKey()
    await client.close()
    await server.close()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_long_answer_counts_though_a_sign_of_life_fails_meanwhile(
    nats: Server, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    server, client = await pair(nats)
    monkeypatch.setattr(bus_module, "BEAT", 0.05)
    monkeypatch.setattr(bus_module, "PULSE", 0.3)

    async def take(msg: Msg) -> None:
        if msg.data:  # what is asked; the empty one is left without an answer
            await asyncio.sleep(0.1)
            headers = {bus_module.CODE: "not_found"} if fails else None
            await server.client.publish(msg.reply, b"{}", headers=headers)

    await server.client.subscribe(LOOK_UP_KEY.subject, cb=take)
    await server.client.flush()
    with pytest.raises(NotFound) if fails else contextlib.nullcontext():
        assert await client.ask_long(LOOK_UP_KEY, ASK, 30) == FoundKey()
    await client.close()
    await server.close()


async def test_a_long_question_ends_with_the_one_who_asks(
    nats: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await Bus.connect(BusSettings(url=nats.url), "client")
    monkeypatch.setattr(bus_module, "BEAT", 0.02)
    before = asyncio.all_tasks()
    await client.client.subscribe(LOOK_UP_KEY.subject)
    asking = asyncio.ensure_future(client.ask_long(LOOK_UP_KEY, ASK, 30))
    await asyncio.sleep(0.1)
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    assert not [t for t in asyncio.all_tasks() - before if "Bus.ask" in str(t)]
    await client.close()


@pytest.mark.slow
async def test_a_bus_that_stands_still_ends_a_long_wait_in_seconds(nats: Server) -> None:
    server, client = await pair(nats)

    async def slow(_: LookUpKey) -> FoundKey:
        await asyncio.sleep(60)
        return FoundKey()

    await server.serve(LOOK_UP_KEY, slow)
    os.kill(nats.pid, signal.SIGSTOP)
    start = time.monotonic()
    try:
        with pytest.raises(Unavailable, match="did not answer"):
            await client.ask_long(LOOK_UP_KEY, ASK, 30)
    finally:
        os.kill(nats.pid, signal.SIGCONT)
    assert time.monotonic() - start < 6
    await client.client.close()
    await server.client.close()


async def test_no_service_is_unavailable_at_once(nats: Server) -> None:
    client = await Bus.connect(BusSettings(url=nats.url), "client")
    start = time.monotonic()
    with pytest.raises(Unavailable):
        await client.ask(LOOK_UP_KEY, ASK, timeout=5)
    assert time.monotonic() - start < 1
    await client.close()


@pytest.mark.parametrize("greeting", [b"", b'INFO {"max_payload": 1024}\r\n'])
async def test_a_server_that_hangs_up_is_no_connection_and_ends_in_time(greeting: bytes) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        start = time.monotonic()
        # Many at once, so that some end in the very moment in which a try of theirs fails.
        asks = [Bus.connect(BusSettings(url=url, connect_timeout=0.3), "client") for _ in range(50)]
        ends = await asyncio.gather(*asks, return_exceptions=True)
        assert {type(end) for end in ends} == {Unavailable}
        assert time.monotonic() - start < 1.5


async def test_an_end_is_sure_where_a_cancellation_is_swallowed() -> None:
    async def deaf() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    start = time.monotonic()
    with pytest.raises(TimeoutError):
        await bus_module._ended(deaf(), 0.1)
    assert time.monotonic() - start < 1


async def test_what_is_in_hand_is_answered_before_a_service_leaves(nats: Server) -> None:
    server, client = await pair(nats)

    async def slow(_: LookUpKey) -> FoundKey:
        await asyncio.sleep(0.2)
        return FoundKey()

    await server.serve(LOOK_UP_KEY, slow)
    asks = [asyncio.ensure_future(client.ask(LOOK_UP_KEY, ASK)) for _ in range(10)]
    await asyncio.sleep(0.05)
    await server.close()
    assert await asyncio.gather(*asks) == [FoundKey()] * 10
    await client.close()


async def test_events_survive_a_journal_that_is_away(nats: Server, tmp_path: Path) -> None:
    bus = await Bus.connect(BusSettings(url=nats.url), "gateway")
    settings = JournalSettings(ack_timeout=0.5)
    await ensure_streams(bus, settings)
    async with Outbox(bus, settings, tmp_path / "spool") as outbox:
        outbox.put(USED, usage(1), "r1.1")
        await asyncio.sleep(0.2)
        nats.kill()
        for number in range(2, 6):
            outbox.put(USED, usage(number), f"r{number}.1")
        await asyncio.sleep(1.0)
        nats.start()
        seen: list[str] = []

        async def take(batch: list[Usage]) -> None:
            seen.extend(row.request_id for row in batch)

        consumer = Consumer(bus, "test", [USED], take)
        for _ in range(40):
            if bus.connected:
                break
            await asyncio.sleep(0.1)
        await consumer.start()
        for _ in range(80):
            if len(set(seen)) == 5:
                break
            await asyncio.sleep(0.1)
        await consumer.stop()
    assert sorted(set(seen)) == [f"r{number}" for number in range(1, 6)]
    await bus.close()


async def test_a_poison_message_goes_to_the_dead_letters_and_blocks_nothing(
    nats: Server, tmp_path: Path
) -> None:
    bus = await Bus.connect(BusSettings(url=nats.url), "ledger")
    await ensure_streams(bus, JournalSettings())
    js = bus.client.jetstream()
    await js.publish(USED.subject, b"{not json")
    seen: list[str] = []

    async def take(batch: list[Usage]) -> None:
        seen.extend(row.request_id for row in batch)

    consumer = Consumer(bus, "poisoned", [USED], take)
    await consumer.start()
    async with Outbox(bus, JournalSettings(), tmp_path / "spool") as outbox:
        outbox.put(USED, usage(7), "r7.1")
        for _ in range(50):
            if seen and buried() == 1:
                break
            await asyncio.sleep(0.05)
    assert seen == ["r7"] and buried() == 1
    dead = await js.get_last_msg("MODELMUXER_EVENTS", "dead.v1.poisoned")
    assert dead.data == b"{not json"
    await consumer.stop()
    await bus.close()


def buried() -> float | None:
    return REGISTRY.get_sample_value("modelmuxer_journal_dead_total", {"consumer": "poisoned"})
