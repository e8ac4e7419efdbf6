"""A server of a test, on a thread of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from autointerp.artifacts import user_cache


class Handling(BaseHTTPRequestHandler):
    """Requests over connections that are kept; an answer goes out at once and whole, and nothing is logged."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one write: two would wait for the other side's delayed acknowledgement
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, data: bytes, kind: str = "application/json", **more: str) -> None:
        """Answer with a body of that content type; `more`: further headers."""
        self.send_response(status)
        for header, value in {"Content-Type": kind, "Content-Length": str(len(data)), **more}.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def served(http: ThreadingHTTPServer) -> Iterator[str]:
    """Its address on loopback; it serves until the block ends, and nothing is remembered of it before or after."""
    address = f"http://127.0.0.1:{http.server_port}"
    forget(address)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield address
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
        forget(address)


def forget(address: str) -> None:
    """Drop what a probe remembered of a server there: the next one with its port, in any test, is another."""
    for path in (user_cache() / "endpoints").glob("*.json"):
        try:
            endpoint = json.loads(path.read_bytes())["endpoint"]
        except FileNotFoundError:  # another worker's server has just ended
            continue
        except (ValueError, KeyError):  # a test's damaged file
            continue
        if f"{address}/" in f"{endpoint}/":
            path.unlink(missing_ok=True)
