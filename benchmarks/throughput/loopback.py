"""An endpoint on loopback, in its own process: OpenAI's chat protocol, a fixed latency, a fixed number of slots.

It reads no JSON and holds nothing per request, so that its own CPU time is small beside a client's. `GET /stats` tells
what it has counted since it was last asked. The process ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import threading
import time
from dataclasses import asdict, dataclass

from throughput.workload import answer

_MARK = re.compile(rb"\[request (-?\d+)\]")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_USAGE = {"prompt_tokens": 500, "completion_tokens": 6, "total_tokens": 506}


@dataclass
class Stats:
    """Counts since the last `GET /stats`."""

    requests: int = 0
    answered: int = 0
    refused: int = 0
    """Answered 429: every slot was taken."""
    most_at_once: int = 0
    """Most slots taken at the same time."""
    connections: int = 0
    cpu_seconds: float = 0.0


class Endpoint:
    """Slots and counts, shared by all connections."""

    def __init__(self, latency: float, slots: int) -> None:
        self.latency, self.slots = latency, slots
        self.taken = 0
        self.stats = Stats()
        self._cpu = time.process_time()

    def admit(self) -> bool:
        """Take a slot if there is one."""
        self.stats.requests += 1
        if self.taken >= self.slots:
            self.stats.refused += 1
            return False
        self.taken += 1
        self.stats.most_at_once = max(self.stats.most_at_once, self.taken)
        return True

    def free(self) -> None:
        """Give the slot back; before the answer is sent, so that whoever has an answer may ask the next thing."""
        self.taken -= 1
        self.stats.answered += 1

    def take_stats(self) -> Stats:
        """Counts since the last call."""
        stats, self.stats = self.stats, Stats()
        now = time.process_time()
        stats.cpu_seconds, self._cpu = now - self._cpu, now
        return stats


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection, kept alive; one request at a time, as all the clients send them."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._endpoint.stats.connections += 1

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._data, 0, end + 2)
        if len(self._data) < end + 4 + (int(length[1]) if length else 0):
            return
        whole = bytes(self._data)
        self._data.clear()
        self._request(whole)

    def _request(self, whole: bytes) -> None:
        if whole.startswith(b"GET /stats"):
            self._send(b"200 OK", asdict(self._endpoint.take_stats()))
        elif (found := _MARK.search(whole)) is None:
            self._send(b"400 Bad Request", {"error": {"message": "no request mark", "type": "invalid_request_error"}})
        elif self._endpoint.admit():
            self._loop.call_later(self._endpoint.latency, self._answer, found[1].decode())
        else:
            self._send(b"429 Too Many Requests", {"error": {"message": "every slot is taken", "type": "rate_limit"}})

    def _answer(self, number: str) -> None:
        self._endpoint.free()
        message = {"role": "assistant", "content": answer(number)}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = {"id": number, "object": "chat.completion", "created": 0, "model": "loopback", "choices": [choice]}
        self._send(b"200 OK", {**body, "usage": _USAGE})

    def _send(self, status: bytes, body: object) -> None:
        if self._transport.is_closing():
            return
        text = json.dumps(body).encode()
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(text))
        self._transport.write(head + text)


async def _serve(latency: float, slots: int) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    endpoint = Endpoint(latency, slots)
    server = await loop.create_server(lambda: Connection(endpoint), "127.0.0.1", 0, backlog=2 * slots)
    print(server.sockets[0].getsockname()[1], flush=True)

    def wait_for_the_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    async with server:
        await over.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, required=True, help="seconds")
    parser.add_argument("--slots", type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.latency, arguments.slots))


if __name__ == "__main__":
    main()
