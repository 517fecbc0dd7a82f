"""A ClickHouse server's HTTP endpoint, thin over the embedded engine: statements, parameters,
settings and inserts as ClickHouse documents them (docs: interfaces/http), errors with their
code. So the client's HTTP path is exercised on a machine without a server."""

import contextlib
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb

# Parameters of the protocol, which are no settings of the engine.
PROTOCOL = {
    "query", "database", "query_id", "session_id", "session_timeout", "compress", "decompress",
    "wait_end_of_query", "buffer_size", "client_protocol_version", "role",
    "enable_http_compression", "send_progress_in_http_headers",
    "http_headers_progress_interval_ms", "cancel_http_readonly_queries_on_client_close",
}  # fmt: skip


class ClickHouseHttp:
    """Can be stopped and started again on its port, with its data kept."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        self.folder = folder
        self.host = host
        self.port = port
        self.statements = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "ClickHouseHttp":
        handler = type("Handler", (_Handler,), {"owner": self})
        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer((self.host, self.port), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def running(self) -> bool:
        return self._server is not None

    def run(self, query: dict[str, str], body: bytes) -> bytes:
        """One statement on a handle of its own, as HTTP has no session either."""
        self.statements += 1
        handle = chdb.connect(str(self.folder))
        try:
            for name, value in query.items():
                if name not in PROTOCOL and not name.startswith("param_"):
                    handle.query(f"SET {name} = '{value}'")
            if database := query.get("database"):
                handle.query(f"USE `{database}`")
            given = {
                n.removeprefix("param_"): v for n, v in query.items() if n.startswith("param_")
            }
            with _statement(query.get("query", ""), body) as sql:
                return bytes(handle.query(sql, "TabSeparated", params=given).bytes() or b"")
        finally:
            handle.close()


@contextlib.contextmanager
def _statement(query: str, body: bytes) -> Iterator[str]:
    """The statement is in the body, or in the address; an insert's data follows it."""
    if not query and body.startswith(b"INSERT") and b" FORMAT Native\n" in body:
        head, _, body = body.partition(b"\n")
        query = head.decode()
    if not query or not body:
        yield query or body.decode()
        return
    with tempfile.NamedTemporaryFile(suffix=".rows") as file:
        file.write(body)
        file.flush()
        yield re.sub(r"\s+FORMAT\s+(\w+)\s*$", rf" FROM INFILE '{file.name}' FORMAT \1", query)


class _Handler(BaseHTTPRequestHandler):
    owner: ClickHouseHttp
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            self._answer(b"".join(self._chunks()))
        else:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _answer(self, body: bytes) -> None:
        if not self.owner.running:
            self.close_connection = True
            return
        address = urlsplit(self.path)
        query = dict(parse_qsl(address.query, keep_blank_values=True))
        try:
            data = b"Ok.\n" if address.path == "/ping" else self.owner.run(query, body)
            self._send(200, data)
        except RuntimeError as error:
            code = re.search(r"Code: (\d+)", str(error))
            self._send(500, str(error).encode(), code=code[1] if code else "1002")

    def _send(self, status: int, data: bytes, **headers: Any) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-ClickHouse-Summary", "{}")
        if data and status == 200:
            self.send_header("X-ClickHouse-Format", "Native")
        if code := headers.get("code"):
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    # PORT FOLDER: the endpoint as a process of its own, until it is ended.
    warm = chdb.connect(sys.argv[2])  # the engine takes a second to start
    ClickHouseHttp(Path(sys.argv[2]), port=int(sys.argv[1])).start()
    threading.Event().wait()
