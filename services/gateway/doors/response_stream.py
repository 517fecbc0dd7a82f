"""Canonical events as the events of a Response, in the order and with the ends OpenAI sends."""

import time
from typing import Any

from services.gateway.doors.canonical import Json, merged, render_error
from services.gateway.doors.response_object import finished, item_id, item_of, shell, text_part
from services.gateway.providers.sse import EventData
from services.gateway.providers.text import dump, load_object, string


class Stream:
    """`body` is the client's request; nothing in it changes the events."""

    def __init__(self, body: Json | None = None) -> None:
        self._events = EventData()
        self._out: list[bytes] = []
        self._sequence = 0
        self._message: Json = {}
        self._response = shell({}, int(time.time()))
        self._output: list[Json] = []
        self._block: Json | None = None
        self._said: list[str] = []
        self._usage: Json = {}
        self._stop: object = None
        self._ended = False

    def feed(self, chunk: bytes) -> list[bytes]:
        for data in self._events.feed(chunk):
            if not self._ended:
                self._take(load_object(data))
        out, self._out = self._out, []
        return out

    def close(self) -> list[bytes]:
        """Nothing is left to say: an answer without its end is seen by its missing event."""
        return []

    def _take(self, event: Json) -> None:
        kind = event.get("type")
        if kind == "content_block_delta":
            self._delta(event.get("delta") or {})
        elif kind == "content_block_start":
            self._open(event.get("content_block") or {})
        elif kind == "content_block_stop":
            self._close()
        elif kind == "message_start":
            self._begin(event.get("message") or {})
        elif kind == "message_delta":
            self._usage = merged(self._usage, event.get("usage"))
            self._stop = (event.get("delta") or {}).get("stop_reason")
        else:
            self._end(kind, event)

    def _begin(self, message: Json) -> None:
        self._message, self._usage = message, merged({}, message.get("usage"))
        self._response = shell(message, int(time.time()))
        self._send("response.created", response=self._response)
        self._send("response.in_progress", response=self._response)

    def _end(self, kind: object, event: Json) -> None:
        if kind == "ping":
            self._out.append(b": ping\n\n")
        elif kind == "message_stop":
            self._ended = True
            response = finished(self._response, self._output, self._stop, self._usage)
            self._send(f"response.{response['status']}", response=response)
        elif kind == "error":
            self._ended = True
            told = event.get("error") or {}
            error = render_error(200, str(told.get("type")), str(told.get("message")), {})["error"]
            failed = {"code": error["code"] or "server_error", "message": error["message"]}
            response = {**self._response, "status": "failed", "error": failed}
            self._send("response.failed", response=response)

    def _open(self, block: Json) -> None:
        if block.get("type") not in ("text", "thinking", "tool_use"):
            return
        self._block, self._said = dict(block), []
        item = item_of(self._block, self._item(), "in_progress")
        if block["type"] == "thinking":
            item["encrypted_content"] = None
        self._send("response.output_item.added", output_index=self._place, item=item)
        if block["type"] == "text":
            self._send("response.content_part.added", **self._part_place(), part=text_part(""))

    def _delta(self, delta: Json) -> None:
        kind, block = delta.get("type"), self._block
        if block is None:
            return
        if kind == "text_delta":
            text = string(delta.get("text"))
            self._said.append(text)
            self._send("response.output_text.delta", **self._part_place(), delta=text, logprobs=[])
        elif kind == "input_json_delta" and delta.get("partial_json"):
            text = string(delta["partial_json"])
            self._said.append(text)
            place = self._item_place()
            self._send("response.function_call_arguments.delta", **place, delta=text)
        elif kind == "thinking_delta":
            self._think(string(delta.get("thinking")))
        elif kind == "signature_delta":
            block["signature"] = string(delta.get("signature"))

    def _think(self, text: str) -> None:
        place = {**self._item_place(), "summary_index": 0}
        if not self._said:
            part = {"type": "summary_text", "text": ""}
            self._send("response.reasoning_summary_part.added", **place, part=part)
        self._said.append(text)
        self._send("response.reasoning_summary_text.delta", **place, delta=text)

    def _close(self) -> None:
        block = self._block
        if block is None:
            return
        said = "".join(self._said)
        if block["type"] == "text":
            block["text"] = said
            self._send("response.output_text.done", **self._part_place(), text=said, logprobs=[])
            self._send("response.content_part.done", **self._part_place(), part=text_part(said))
        elif block["type"] == "thinking":
            block["thinking"] = said
            self._close_thinking(said)
        item = item_of(block, self._item())
        if block["type"] == "tool_use":
            item["arguments"] = said or "{}"
            self._send(
                "response.function_call_arguments.done",
                **self._item_place(),
                name=item["name"],
                arguments=item["arguments"],
            )
        self._send("response.output_item.done", output_index=self._place, item=item)
        self._output.append(item)
        self._block = None

    def _close_thinking(self, said: str) -> None:
        if not said:
            return
        place = {**self._item_place(), "summary_index": 0}
        part = {"type": "summary_text", "text": said}
        self._send("response.reasoning_summary_text.done", **place, text=said)
        self._send("response.reasoning_summary_part.done", **place, part=part)

    @property
    def _place(self) -> int:
        return len(self._output)

    def _item(self) -> str:
        kind = self._block["type"] if self._block else "text"
        return item_id(self._message, kind, self._place)

    def _item_place(self) -> Json:
        return {"item_id": self._item(), "output_index": self._place}

    def _part_place(self) -> Json:
        return {**self._item_place(), "content_index": 0}

    def _send(self, kind: str, **fields: Any) -> None:
        event = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        self._out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), dump(event)))
