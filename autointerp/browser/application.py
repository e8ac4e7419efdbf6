"""What the server answers: the page, its files, and the questions of readers. `guards` decides who is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from autointerp.browser.jobs import MOST_WAITING, Jobs, Kind, TypedQuestion
from autointerp.browser.workbench import Workbench
from autointerp.quoting import well_formed

MOST_CHARACTERS = 2000
"""Of an explanation."""
_MOST_READERS = 32
_HEARTBEAT = 15.0
"""Seconds without an event after which a reader is told that the server lives."""
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".txt": "text/plain; charset=utf-8",
}  # fmt: skip
"""Of the files that are sent: no other is, so neither ledger, nor account, nor table."""


def application(folder: Path, index: Callable[[], str], bench: Workbench, jobs: Jobs) -> Starlette:
    """The app. `folder`: of the pages; `index`: the page itself, as it is served."""
    answers = _Answers(folder, index, bench, jobs)
    return Starlette(
        routes=[
            Route("/", answers.page),
            Route("/api/state", answers.state),
            Route("/api/events", answers.events),
            Route("/api/explanation", answers.explanation, methods=["POST"]),
            Route("/api/text", answers.text, methods=["POST"]),
            Route("/api/judge", answers.judge, methods=["POST"]),
            Route("/api/suggested.csv", answers.table),
            Route("/api/suggested.json", answers.table_as_json),
            Route("/{path:path}", answers.file),
        ],
        exception_handlers={Exception: _failed},
    )


class _NotTaken(Exception):
    """A question that is not taken."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.answer = JSONResponse({"reason": reason}, status)


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"reason": f"an error in autointerp ({type(error).__name__}): please report it"}, 500)


class _Answers:
    def __init__(self, folder: Path, index: Callable[[], str], bench: Workbench, jobs: Jobs) -> None:
        self._folder, self._index, self._bench, self._jobs = folder.resolve(), index, bench, jobs
        self._told = bench.told()

    async def page(self, request: Request) -> Response:
        return HTMLResponse(self._index())

    async def file(self, request: Request) -> Response:
        """A file of the pages: of a kind that is sent, below the folder, and no link."""
        parts = request.path_params["path"].split("/")
        plain = all(part and not part.startswith(".") and not set(part) & set("\\:\0") for part in parts)
        path = self._folder.joinpath(*parts) if plain else self._folder
        kind = CONTENT_TYPES.get(path.suffix)
        try:
            there = plain and kind is not None and path.is_file() and path.resolve() == path
        except OSError:  # a name that no file can have
            there = False
        if not there:
            return PlainTextResponse("no such file", 404)
        return Response(await asyncio.to_thread(path.read_bytes), media_type=kind)

    async def state(self, request: Request) -> Response:
        return JSONResponse(self._state())

    def _state(self) -> dict[str, Any]:
        suggested = [vars(row) for row in self._bench.suggested.rows()]
        return {**self._told, "limit": MOST_CHARACTERS, "jobs": self._jobs.told(), "suggested": suggested}

    async def events(self, request: Request) -> Response:
        if len(self._jobs.watchers) >= _MOST_READERS:
            return JSONResponse({"reason": "too many readers: close a page"}, 429)
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[str]:
        """The state first, then every event as it comes; comments in between, so that a dead line is noticed."""
        watchers = self._jobs.watchers
        async with AsyncExitStack() as stack:
            mine = watchers.begin()
            stack.callback(watchers.end, mine)
            yield _event({"event": "state", "state": self._state()})
            while True:
                try:
                    event = await asyncio.wait_for(mine.get(), _HEARTBEAT)
                except TimeoutError:
                    yield ": here\n\n"
                    continue
                if event is None:
                    return
                if event["event"] == "job" and event["job"]["state"] == "done":
                    event = {**event, "suggested": [vars(row) for row in self._bench.suggested.rows()]}
                yield _event(event)

    async def explanation(self, request: Request) -> Response:
        return await self._ask(request, "explanation")

    async def text(self, request: Request) -> Response:
        return await self._ask(request, "text")

    async def judge(self, request: Request) -> Response:
        return await self._ask(request, "judge")

    async def _ask(self, request: Request, kind: Kind) -> Response:
        try:
            asked = self._asked(await request.body(), kind)
        except _NotTaken as refused:
            return refused.answer
        job = self._jobs.ask(asked)
        if job is None:
            return JSONResponse({"reason": f"{MOST_WAITING} questions are waiting: ask again in a while"}, 429)
        return JSONResponse({"job": job.number}, 202)

    def _asked(self, body: bytes, kind: Kind) -> TypedQuestion:
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            raise _NotTaken(400, "the body is not JSON") from None
        wanted = {"unit", "text", "judge"} if kind == "judge" else {"unit", "text"}
        if not isinstance(said, dict) or set(said) - wanted:
            raise _NotTaken(400, f"the body must be an object of {', '.join(sorted(wanted))}")
        unit, text, judge = said.get("unit"), said.get("text"), said.get("judge", "")
        if not isinstance(unit, str) or unit not in self._bench:
            raise _NotTaken(404, "the run drew no such unit")
        if not isinstance(judge, str) or (kind == "judge" and judge not in {j["judge"] for j in self._told["judges"]}):
            raise _NotTaken(404, "no such judge")
        if text is None and kind == "judge":
            return TypedQuestion(kind, unit, None, judge)
        if not isinstance(text, str) or not text.strip():
            raise _NotTaken(400, "type something")
        if kind != "text" and len(text) > MOST_CHARACTERS:
            raise _NotTaken(400, f"an explanation has at most {MOST_CHARACTERS:,} characters, this one {len(text):,}")
        return TypedQuestion(kind, unit, well_formed(text), judge)

    async def table(self, request: Request) -> Response:
        return Response(self._bench.suggested.as_csv(), media_type="text/csv; charset=utf-8")

    async def table_as_json(self, request: Request) -> Response:
        return JSONResponse([vars(row) for row in self._bench.suggested.rows()])


def _event(told: dict[str, Any]) -> str:
    return f"data: {json.dumps(told)}\n\n"
