"""A small real web server on loopback that answers as a test says, and remembers what it was asked."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Request:
    """One request as it came."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in small letters
    at_s: float = field(default_factory=time.monotonic)


@dataclass
class Reply:
    """What is sent back; the body as JSON, or bytes as they are."""

    body: object = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    piece_s: float = 0.0  # wait before each byte of the body
    wait_s: float = 0.0  # wait before the first

    @property
    def wire(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class ScriptedServer:
    """Serves `answer` from a thread of its own; use it with `with`."""

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(parts.path, dict(parse_qsl(parts.query)), headers)
                outer.requests.append(request)
                self.send(outer.answer(request))

            def send(self, reply: Reply) -> None:
                time.sleep(reply.wait_s)
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.wire)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for i in range(len(reply.wire) if reply.piece_s else 0):
                        self.wfile.write(reply.wire[i : i + 1])
                        time.sleep(reply.piece_s)
                    if not reply.piece_s:
                        self.wfile.write(reply.wire)
                except OSError:
                    self.close_connection = True  # the client has had enough

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a client that hangs up is what some tests are about

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "ScriptedServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
