"""A strict stand-in for OpenAI (Chat, Responses), Gemini and Mistral on one port.

It refuses what their APIs refuse, by our reading of their documents. It calls the tools of
`steps`, one a turn (without steps: the first tool it is offered, once), then answers in words.
`seen` keeps every body it took, `refused` why it refused any.
"""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Json = dict[str, Any]
WORDS = "It is sunny – 21 °C."
INPUT = {"city": "Zürich"}
CHAT_FIELDS = """
    model messages stream stream_options temperature top_p stop max_tokens max_completion_tokens
    tools tool_choice parallel_tool_calls response_format reasoning_effort
"""
RESPONSES_FIELDS = """
    model input instructions stream store tools tool_choice parallel_tool_calls max_output_tokens
    temperature top_p reasoning include text
"""
SCHEMA_WORDS = """
    type format title description nullable enum maxItems minItems properties required
    minProperties maxProperties minLength maxLength pattern anyOf default items minimum maximum
"""
CHAT = frozenset(CHAT_FIELDS.split())
MISTRAL = CHAT - {"stream_options", "max_completion_tokens"}
RESPONSES = frozenset(RESPONSES_FIELDS.split())
GEMINI = frozenset(("contents", "systemInstruction", "tools", "toolConfig", "generationConfig"))
SCHEMA = frozenset(SCHEMA_WORDS.split())
SEALED = "gAAA-sealed"


class Refused(Exception):
    """Why the API would answer 400."""


def must(holds: object, why: str) -> None:
    if not holds:
        raise Refused(why)


def check_chat(body: Json, fields: frozenset[str], mistral: bool) -> None:
    must(not body.keys() - fields, f"unknown fields: {body.keys() - fields}")
    waiting: list[str] = []
    before = ""
    for message in body["messages"]:
        role = message["role"]
        if role == "tool":
            must(message["tool_call_id"] in waiting, "a tool message without its call")
            waiting.remove(message["tool_call_id"])
        else:
            must(not waiting, "calls without an answer")
        must(not (mistral and before == "tool" and role == "user"), "user after tool")
        for call in message.get("tool_calls") or []:
            waiting.append(call["id"])
            wanted = r"[a-zA-Z0-9]{9}" if mistral else r".{1,40}"
            must(re.fullmatch(wanted, call["id"]), "the id of a tool call")
            json.loads(call["function"]["arguments"])
        before = role
    must(not waiting, "calls without an answer")
    tools_and_reasoning = body.get("tools") and body.get("reasoning_effort", "none") != "none"
    newest = re.match(r"gpt-(5\.[4-9]|[6-9])", body["model"])
    must(not (newest and tools_and_reasoning), "function tools with reasoning_effort")


def check_responses(body: Json) -> None:
    must(not body.keys() - RESPONSES, f"unknown fields: {body.keys() - RESPONSES}")
    must(body.get("store") is False, "nothing may be stored")
    made, given = [], []
    for place, item in enumerate(body["input"]):
        if item.get("type") == "function_call":
            made.append(item["call_id"])
        elif item.get("type") == "function_call_output":
            given.append(item["call_id"])
        elif item.get("type") == "reasoning":
            must(item["encrypted_content"] == SEALED, "encrypted content of someone else")
            after = body["input"][place + 1] if place + 1 < len(body["input"]) else {}
            must(after.get("type") == "function_call", "reasoning without what it led to")
    must(sorted(made) == sorted(given), "calls without an answer")


def check_gemini(body: Json) -> None:
    must(not body.keys() - GEMINI, f"unknown fields: {body.keys() - GEMINI}")
    asked = 0
    for content in body["contents"]:
        calls = [part for part in content["parts"] if "functionCall" in part]
        answers = [part for part in content["parts"] if "functionResponse" in part]
        must(not answers or len(answers) == asked, "as many responses as calls")
        signatures = ("c2lnbmVk", "skip_thought_signature_validator")
        must(not calls or calls[0].get("thoughtSignature") in signatures, "thought_signature")
        asked = len(calls)
    for tool in body.get("tools") or []:
        for function in tool["functionDeclarations"]:
            check_schema(function.get("parameters") or {})


def check_schema(schema: Json) -> None:
    must(not schema.keys() - SCHEMA, f"unknown words: {schema.keys() - SCHEMA}")
    nested = [*(schema.get("properties") or {}).values(), *(schema.get("anyOf") or [])]
    for each in [*nested, *([schema["items"]] if "items" in schema else [])]:
        check_schema(each)


class StandIn:
    def __init__(self) -> None:
        self.url = ""
        self.reset()

    def reset(self, *steps: tuple[str, Json]) -> None:
        self.seen: list[Json] = []
        self.refused: list[str] = []
        self.steps = steps

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/openai/v1/chat/completions", self._chat)
        app.router.add_post("/mistral/v1/chat/completions", self._mistral)
        app.router.add_post("/openai/v1/responses", self._responses)
        app.router.add_post(r"/v1beta/models/{model:[^:]+}:{method}", self._gemini)
        return app

    def _call(self, done: int, offered: list[str]) -> tuple[str, str, str] | None:
        """(id, name, arguments) of the next tool call, once `done` results are in."""
        steps = self.steps or tuple((name, INPUT) for name in offered[:1])
        if done >= len(steps) or steps[done][0] not in offered:
            return None
        name, given = steps[done]
        return f"{done:09}", name, json.dumps(given)

    def _refuse(self, error: Refused) -> web.Response:
        self.refused.append(str(error))
        told = {"code": 400, "message": str(error), "status": "INVALID_ARGUMENT"}
        return web.json_response({"error": told}, status=400)

    async def _chat(self, request: web.Request, mistral: bool = False) -> web.StreamResponse:
        body = await self._take(request)
        try:
            check_chat(body, MISTRAL if mistral else CHAT, mistral)
        except Refused as error:
            return self._refuse(error)
        done = sum(message["role"] == "tool" for message in body["messages"])
        call = self._call(done, [tool["function"]["name"] for tool in body.get("tools") or []])
        said: Json = {"role": "assistant", "content": None if call else WORDS}
        if call:
            function = {"name": call[1], "arguments": call[2]}
            said["tool_calls"] = [
                {"id": call[0], "type": "function", "index": 0, "function": function}
            ]
        usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
        base = {"id": "chatcmpl-standin01", "created": 1, "model": body["model"]}
        finish = "tool_calls" if call else "stop"
        if not body.get("stream"):
            choice = {"index": 0, "message": said, "finish_reason": finish}
            return web.json_response({**base, "choices": [choice], "usage": usage})
        chunk = {**base, "choices": [{"index": 0, "delta": said, "finish_reason": finish}]}
        return await self._send(request, [chunk, {**base, "choices": [], "usage": usage}], True)

    async def _mistral(self, request: web.Request) -> web.StreamResponse:
        return await self._chat(request, mistral=True)

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        body = await self._take(request)
        try:
            check_responses(body)
        except Refused as error:
            return self._refuse(error)
        done = sum(item.get("type") == "function_call_output" for item in body["input"])
        call = self._call(done, [tool["name"] for tool in body.get("tools") or []])
        part = {"type": "output_text", "text": WORDS, "annotations": []}
        items: list[Json] = [
            {"id": "msg_1", "type": "message", "role": "assistant", "content": [part]}
        ]
        if call:
            sealed = {
                "id": "rs_1",
                "type": "reasoning",
                "summary": [],
                "encrypted_content": "gAAA-sealed",
            }
            made = {"id": "fc_1", "type": "function_call", "call_id": f"call_{call[0]}"}
            items = [sealed, {**made, "name": call[1], "arguments": call[2]}]
        usage = {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25}
        whole = {"id": "resp_standin01", "object": "response", "status": "completed"}
        whole |= {"model": body["model"], "output": items, "usage": usage}
        if not body.get("stream"):
            return web.json_response(whole)
        events: list[Json] = [{"type": "response.created", "response": {**whole, "output": []}}]
        for place, item in enumerate(items):
            for kind in ("added", "done"):
                event = {
                    "type": f"response.output_item.{kind}",
                    "output_index": place,
                    "item": item,
                }
                events.append(event)
        return await self._send(
            request, [*events, {"type": "response.completed", "response": whole}]
        )

    async def _gemini(self, request: web.Request) -> web.StreamResponse:
        body = await self._take(request)
        try:
            check_gemini(body)
        except Refused as error:
            return self._refuse(error)
        parts = [part for content in body["contents"] for part in content["parts"]]
        done = sum("functionResponse" in part for part in parts)
        tools = [f["name"] for t in body.get("tools") or [] for f in t["functionDeclarations"]]
        said: Json = {"text": WORDS}
        if call := self._call(done, tools):
            function = {"name": call[1], "args": json.loads(call[2])}
            said = {"functionCall": function, "thoughtSignature": "c2lnbmVk"}
        candidate = {"content": {"role": "model", "parts": [said]}, "finishReason": "STOP"}
        usage = {"promptTokenCount": 20, "candidatesTokenCount": 5, "totalTokenCount": 25}
        answer = {"candidates": [candidate], "usageMetadata": usage, "responseId": "gStandIn01"}
        if request.match_info["method"] == "generateContent":
            return web.json_response(answer)
        return await self._send(request, [answer])

    async def _take(self, request: web.Request) -> Json:
        body: Json = await request.json()
        self.seen.append(body)
        return body

    async def _send(
        self, request: web.Request, events: list[Json], done: bool = False
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            await response.write(
                b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"
            )
        if done:
            await response.write(b"data: [DONE]\n\n")
        return response


@asynccontextmanager
async def stand_in() -> AsyncIterator[StandIn]:
    standing = StandIn()
    runner = web.AppRunner(standing.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    standing.url = f"http://{host}:{port}"
    try:
        yield standing
    finally:
        await runner.cleanup()
