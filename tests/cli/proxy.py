"""A proxy between a client and the gateway that spoils one thing, as real ones do."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Spoil = Callable[["Passing"], None]
HOP = {"transfer-encoding", "connection", "content-length", "keep-alive", "date"}


@dataclass
class Passing:
    """A request on its way, then the answer on its way back; a spoiler may change either."""

    method: str
    path: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@contextlib.contextmanager
def proxy(port: int, spoil: Spoil) -> Iterator[str]:
    """Forward to a port of this machine, whole answers at a time, and let `spoil` at each."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            upstream = HTTPConnection("127.0.0.1", port, timeout=30)
            sent = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
            upstream.request(self.command, self.path, content or None, sent)
            answer = upstream.getresponse()
            passing = Passing(self.command, self.path, answer.status)
            passing.headers = {k.lower(): v for k, v in answer.getheaders()}
            passing.body = answer.read()
            upstream.close()
            spoil(passing)
            self.send_response_only(passing.status)
            passing.headers["content-length"] = str(len(passing.body))
            for name, value in passing.headers.items():
                if name not in HOP - {"date", "content-length"}:
                    self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(passing.body)

        do_GET = do_POST = do_HEAD = handle_any

        def log_message(self, *words: object) -> None:
            pass

    with serving(Handler) as url:
        yield url


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class Website(BaseHTTPRequestHandler):
    """Something else that listens on the port."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.do_GET()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Jenkins</title>")

    def log_message(self, *words: object) -> None:
        pass
