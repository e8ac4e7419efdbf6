"""The server answers its own pages and nobody else, tells everybody who watches, and survives what goes wrong."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

import autointerp
import tests.chromium
from autointerp.artifacts import write_text
from autointerp.browser.jobs import MOST_WAITING
from autointerp.browser.server import Ready, ready
from autointerp.errors import BadInput
from autointerp.pages.writing import copy_assets, page
from autointerp.run.folder import Run
from autointerp.study_file import RUN_STUDY, dump_study, parse_study
from autointerp.tables import read_table
from tests.chromium import _ARGUMENTS, address, chromium, watched
from tests.llm.misbehaving import Endpoint, running
from tests.loopback import served
from tests.run.served import brain, served_settings

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]

SHOW = (
    'const unit = new URLSearchParams(location.search).get("unit");'
    "autointerp.render(autointerp.html`<main><h1>${unit}</h1><${autointerp.Live} unit=${unit} "
    'explanation="words such as river" /></main>`, document.getElementById("page"));'
)
REBOUND = "rebound.example"
KEY = "sk-of-a-test-0123456789"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOINTERP_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("A_KEY", KEY)
        yield


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with running(Endpoint(brain)) as server:
        yield server


@pytest.fixture(scope="module")
def finished(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = served_settings(tmp_path_factory.mktemp("input"), endpoint.url, api_key_env="A_KEY")
    return autointerp.run(parse_study(settings), tmp_path_factory.mktemp("out") / "run", until="score")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for which a name of somebody else's is this machine, as after DNS rebinding."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tests.chromium, "_ARGUMENTS", [*_ARGUMENTS, f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"])
        with chromium() as opened:
            yield opened


@pytest.fixture
def run(finished: Run, endpoint: Endpoint, tmp_path: Path) -> Iterator[Path]:
    """A copy of the run, with the smallest page that shows the component."""
    copy = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    copy_assets(copy / "browser", "autointerp.browser", ["live.js"])
    write_text(copy / "browser" / "show.js", SHOW)
    yield copy
    endpoint.delay = 0.0


def _index(token: str) -> str:
    return page("Live", ["assets/live.js", "show.js"], "", token=token)


@contextmanager
def _serving(run: Path) -> Iterator[Ready]:
    with ready(run, port=0, index=_index) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join(10)
            assert not thread.is_alive()


@dataclass
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)


def _ask(server: Ready, method: str, path: str, body: Any = None, **headers: str | None) -> _Answer:
    """One request; headers by name with `_` for `-`, None: left out."""
    port = int(server.address.split(":")[2].split("/")[0])
    given: dict[str, str | None] = {"X-Autointerp-Token": server.token}
    if body is not None:
        given["Content-Type"] = "application/json"
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": f"127.0.0.1:{port}", **given}.items():
        if value is not None:
            connection.putheader(name, value)
    if sent is not None:
        connection.putheader("Content-Length", str(len(sent)))
    connection.endheaders(sent)
    answer = connection.getresponse()
    found = _Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    connection.close()
    return found


def _until(check: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


def _answered(server: Ready, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The job, when it is over."""
    number = _ask(server, "POST", path, body).told["job"]

    def over() -> Any:
        jobs = {job["number"]: job for job in _ask(server, "GET", "/api/state").told["jobs"]}
        return jobs[number] if jobs[number]["state"] in ("done", "failed") else None

    found: dict[str, Any] = _until(over)
    return found


def _unit(run: Path) -> tuple[str, str]:
    frame = read_table(run / "explanations.parquet")
    rows = frame[(frame["status"] == "ok") & (frame["arm"] == "feature")]
    return str(rows["unit"].iloc[0]), str(rows["text"].iloc[0])


def test_who_may_ask_and_what_is_sent(run: Path, tmp_path: Path) -> None:
    write_text(tmp_path / "secret.js", "secret")
    (run / "browser" / "link.js").symlink_to(tmp_path / "secret.js")
    (run / "browser" / "inside").symlink_to(run / "browser" / "assets")
    write_text(run / "browser" / ".hidden.js", "hidden")
    shutil.copy(run / "ledger.sqlite", run / "browser" / "ledger.sqlite")
    unit, text = _unit(run)
    question = {"unit": unit, "text": text}
    with _serving(run) as server:
        host = server.address.split("/")[2]
        port = host.split(":")[1]
        own = {"Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
        home = _ask(server, "GET", f"/?token={server.token}", Sec_Fetch_Site="none", X_Autointerp_Token=None)
        assert home.status == 200
        assert f'content="{server.token}"' in home.body.decode()
        script = _ask(server, "GET", "/assets/live.js", X_Autointerp_Token=None)
        assert (script.status, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
        assert _ask(server, "GET", "/api/state", **own).status == 200
        refused = [
            _ask(server, "GET", "/"), _ask(server, "GET", "/?token="), _ask(server, "GET", f"/?token={server.token}x"),
            _ask(server, "GET", "/api/state", X_Autointerp_Token=None),
            _ask(server, "GET", "/api/state", X_Autointerp_Token="a"),
            _ask(server, "GET", f"/api/state?token={server.token}", X_Autointerp_Token=None),
            _ask(server, "GET", "/api/suggested.csv", X_Autointerp_Token=None),
            *(_ask(server, "GET", "/api/state", Host=name)
              for name in (f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1.evil.example:{port}", None)),
            *(_ask(server, "POST", "/api/explanation", question, Origin=origin)
              for origin in ("null", "http://evil.example", "http://127.0.0.1:1", f"https://{host}",
                             f"http://localhost:{port}")),
            *(_ask(server, "GET", path, Sec_Fetch_Site=site)
              for path in ("/assets/live.js", "/api/state", f"/?token={server.token}")
              for site in ("cross-site", "same-site")),
        ]  # fmt: skip
        assert {answer.status for answer in refused} <= {403, 400}
        assert all(answer.told["reason"] for answer in refused if answer.status == 403)
        for method in ("OPTIONS", "PUT", "DELETE"):
            answer = _ask(server, method, "/api/explanation", Origin="http://evil.example")
            assert answer.status == 405
            refused.append(answer)
        for path in (
            "/link.js", f"/data/{'a' * 300}.js", "/inside/common.js", "/.hidden.js", "/ledger.sqlite",
            "/suggested.parquet", "/../study.toml",
            "/%2e%2e/study.toml", "/..%2fstudy.toml", "/assets/..%2f..%2fmanifest.json", "/assets/%5c..%5cx.js",
            "//etc/passwd", "/assets", "/assets/", "/show.js%00.html", "/nothing.js",
        ):  # fmt: skip
            answer = _ask(server, "GET", path)
            assert answer.status == 404, path
            refused.append(answer)
        for answer in (home, script, *refused):
            assert not [name for name in answer.headers if name.startswith("access-control")]
            if answer.status != 400:
                assert answer.headers["cache-control"] == "no-store"
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        _what_is_typed_is_checked(server, question)
        assert _ask(server, "GET", "/api/state").told["jobs"] == [], "nothing of all this was a question"


def _what_is_typed_is_checked(server: Ready, question: dict[str, str]) -> None:
    def status(body: Any, path: str = "/api/explanation", **headers: str | None) -> int:
        return _ask(server, "POST", path, body, **headers).status

    assert status(question, Content_Type="text/plain") == 415
    assert status(question, Content_Type=None) == 415
    assert status(b"{" + b" " * 70_000 + b"}") == 413
    for body in (b"{", b"[" * 60_000, b"\xff", b"[]", b"null", b'{"unit": 1}'):
        assert status(body) in (400, 404), body[:10]
    for wrong in (
        {**question, "text": "x" * 2001}, {**question, "text": " "}, {**question, "text": None},
        {**question, "text": ["a"]}, {**question, "more": 1}, {**question, "judge": "detection"},
    ):  # fmt: skip
        assert status(wrong) == 400, wrong
    assert status({**question, "unit": "feature/999999"}) == 404
    assert status({**question, "judge": "nobody"}, "/api/judge") == 404


def test_what_the_run_knows_costs_nothing_what_is_new_is_paid_and_kept(run: Path, endpoint: Endpoint) -> None:
    unit, text = _unit(run)
    scores = read_table(run / "scores.parquet").set_index(["unit", "scorer", "pairing", "metric", "slice"])["value"]
    own = scores[unit, "sparse-json", "own", "pearson", "top-and-random"]
    asked = endpoint.asked.total()
    with _serving(run) as server:
        job = _answered(server, "/api/explanation", {"unit": unit, "text": text})
        told = job["result"]
        assert told["scores"][0]["value"] == told["scores"][0]["run"] == own
        assert all(each["predicted"] == each["run_predicted"] for each in told["contexts"])
        verdict = _answered(server, "/api/judge", {"unit": unit, "judge": "detection"})["result"]
        assert [each["value"] for each in verdict["scores"]] == [each["run"] for each in verdict["scores"]]
        assert endpoint.asked.total() == asked
        assert told["spent"]["requests"] == told["spent"]["cached"] == job["of"] > 0
        assert told["spent"]["tokens"] == 0
        new = {"unit": unit, "text": "what nobody wrote: \ud800 </script>"}
        first, again = _answered(server, "/api/explanation", new), _answered(server, "/api/explanation", new)
        assert first["result"]["spent"]["tokens"] > 0 == first["result"]["spent"]["cached"]
        assert again["result"]["spent"]["cached"] == first["result"]["spent"]["requests"]
        assert again["result"]["scores"] == first["result"]["scores"]
        assert _ask(server, "GET", "/api/suggested.csv").body.decode().startswith("unit,arm,text,")
    usage = read_table(run / "usage.parquet").set_index("stage")
    assert usage.loc["browse", "attempts"] == first["result"]["spent"]["requests"]
    assert first["result"]["spent"]["tokens"] == usage.loc["browse", ["input_tokens", "output_tokens"]].sum()
    with _serving(run) as server:
        kept = _ask(server, "GET", "/api/suggested.json").told
        assert {row["text"] for row in kept} == {text, "what nobody wrote: ? </script>"}


def test_a_budget_that_is_reached_a_missing_key_and_a_stranger_failure_are_answers(
    run: Path, finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit, _ = _unit(run)
    question = {"unit": unit, "text": "nothing that was asked before"}
    limited = finished.study.model_copy(update={"budget": finished.study.budget.model_copy(update={"limit_tokens": 1})})
    write_text(run / RUN_STUDY, dump_study(limited))
    with _serving(run) as server:
        for _ in range(2):
            job = _answered(server, "/api/explanation", question)
            assert job["state"] == "failed"
            assert "budget is reached" in job["reason"]
        with monkeypatch.context() as patch:
            patch.setattr("autointerp.browser.workbench.shown_contexts", lambda *_: 1 / 0)
            patch.setattr("autointerp.browser.workbench.judge_one", lambda *_: 1 / 0)
            job = _answered(server, "/api/judge", {"unit": unit, "judge": "detection"})
            assert "ZeroDivisionError" in job["reason"]
        assert _answered(server, "/api/text", {"unit": unit, "text": "a river"})["state"] == "done"
    monkeypatch.delenv("A_KEY")
    with _serving(run) as server:
        assert "A_KEY" in _ask(server, "GET", "/api/state").told["simulator"]["why_not"]
        assert "A_KEY" in _answered(server, "/api/explanation", question)["reason"]


def test_too_many_questions_are_refused_and_the_same_one_is_asked_once(run: Path, endpoint: Endpoint) -> None:
    unit, _ = _unit(run)
    endpoint.delay, before = 0.5, sum(endpoint.asked.values())
    with _serving(run) as server:

        def asks(number: int) -> _Answer:
            return _ask(server, "POST", "/api/explanation", {"unit": unit, "text": f"question {number} of many"})

        first = asks(0).told["job"]
        _until(lambda: _ask(server, "GET", "/api/state").told["jobs"][0]["state"] == "running")
        assert asks(0).told["job"] == first
        statuses = [asks(number).status for number in range(1, MOST_WAITING + 3)]
        assert statuses == [202] * MOST_WAITING + [429] * 2
        assert "waiting" in asks(99).told["reason"]
    contexts = read_table(run / "evidence.parquet")
    most = contexts[contexts["unit"] == unit]["context"].nunique()
    assert sum(endpoint.asked.values()) - before <= 2 * most, "what runs is ended, what waits is not begun"


def test_a_second_reader_sees_progress_and_answers_and_a_later_one_the_state(
    run: Path, endpoint: Endpoint, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit, _ = _unit(run)
    brain, numbers, seen_by_all = endpoint.brain, itertools.count(), threading.Event()

    def held(body: dict[str, Any]) -> str:
        """Two requests are answered, the others when both readers have seen how far it is."""
        if next(numbers) >= 2:
            seen_by_all.wait(60)
        return brain(body)

    monkeypatch.setattr(endpoint, "brain", held)
    hostile = '<img src=x onerror="window.wasHit=1"> words such as river'
    with _serving(run) as server, watched(browser) as first, watched(browser, color_scheme="dark") as second:
        for seen in (first, second):
            seen.page.goto(f"{server.address}&unit={unit}")
            seen.page.wait_for_selector("#live-explanation")
            assert seen.axe() == []
        first.page.fill("#live-explanation", hostile)
        first.page.click("text=Score it")
        for seen in (first, second):
            seen.page.wait_for_selector("text=/Asking: [12] of \\d+/")
        seen_by_all.set()
        for seen in (first, second):
            seen.page.wait_for_selector("text=what you typed, its words only matched")
            assert hostile in seen.page.inner_text("main")
        told = _ask(server, "GET", "/api/state").told["jobs"][-1]["result"]["scores"][0]
        assert f"{told['value']:.2f}".replace("-", "\u2212") in _line(second.page, "what you typed")
        assert f"{told['run']:.2f}".replace("-", "\u2212") in _line(second.page, "the run's own explanation")
        second.page.fill("#live-text", "The river runs to the sea")
        second.page.click("text=Show its activations")
        first.page.wait_for_selector("text=/Active on|Silent on/")
        second.page.select_option("#live-judge", "detection")
        second.page.click('button:text-is("Ask")')
        first.page.wait_for_selector("text=/Every verdict|Not judged/")
        with watched(browser, viewport={"width": 390, "height": 800}, color_scheme="dark") as later:
            later.page.goto(f"{server.address}&unit={unit}")
            later.page.wait_for_selector("text=Tried so far")
            assert hostile in later.page.inner_text("main")
            assert later.page.evaluate("document.documentElement.scrollWidth") <= 390
            for seen in (first, second, later):
                assert seen.axe() == []
                assert seen.problems == []
                assert seen.page.evaluate("window.wasHit") is None
                assert all(url.startswith(server.address.partition("?")[0]) for url in seen.requests)
        server.stop()
        first.page.wait_for_selector("text=No answers now")
        assert first.page.is_disabled("text=Score it")


def _line(page: Page, name: str) -> str:
    return page.locator("tr", has=page.get_by_role("rowheader", name=name, exact=True)).first.inner_text()


ATTACK = """
async (url) => {
  const token = new URL(url).searchParams.get("token"), base = new URL(url).origin, got = {};
  const attempt = async (name, options, path = "/api/state") => {
    try {
      const answer = await fetch(base + path, options);
      got[name] = answer.type === "opaque" ? "opaque" : answer.status;
    } catch (error) { got[name] = "blocked"; }
  };
  await attempt("plain", {});
  await attempt("no-cors", { mode: "no-cors" });
  await attempt("token", { headers: { "X-Autointerp-Token": token } });
  const post = { method: "POST", body: JSON.stringify({ unit: "u", text: "t" }) };
  await attempt("post", { ...post, mode: "no-cors" }, "/api/explanation");
  await attempt("post json", { ...post, headers: { "Content-Type": "application/json" } }, "/api/explanation");
  await attempt("page", {}, "/?token=" + token);
  got.script = await new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = base + "/show.js";
    script.onload = () => resolve("ran"); script.onerror = () => resolve("blocked");
    document.head.append(script);
  });
  got.frame = await new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.src = url;
    frame.onload = () => resolve(frame.contentDocument && frame.contentDocument.body ? "seen" : "blocked");
    document.body.append(frame);
  });
  return got;
}
"""


class _Elsewhere(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!DOCTYPE html><body>elsewhere</body>")

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_page_from_elsewhere_gets_nothing_even_where_it_knows_the_token(
    run: Path, browser: Browser, tmp_path: Path
) -> None:
    """A file's page, a page of another port of this machine, and one under a name that was made to point here."""
    unit, _ = _unit(run)
    write_text(tmp_path / "elsewhere.html", "<!DOCTYPE html><body>elsewhere</body>")
    with _serving(run) as server, served(ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere)) as other:
        for place in (address(tmp_path / "elsewhere.html"), other, other.replace("127.0.0.1", "localhost")):
            with watched(browser) as seen:
                seen.page.goto(place)
                got = seen.page.evaluate(ATTACK, f"{server.address}&unit={unit}")
                assert set(got.values()) <= {"blocked", "opaque"}, (place, got)
                assert got["plain"] == got["token"] == got["post json"] == got["script"] == "blocked"
        rebound = server.address.replace("127.0.0.1", REBOUND)
        with watched(browser) as seen:
            answer = seen.page.goto(rebound)
            assert answer is not None
            assert answer.status == 403
            assert server.token not in seen.page.content()
        assert _ask(server, "GET", "/api/state").told["jobs"] == []


SERVE = """
import sys
from pathlib import Path
from autointerp.browser.server import serve
try:
    serve(Path(sys.argv[1]), port=0, index=lambda token: token)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_ends_it_cleanly_while_it_answers(run: Path, endpoint: Endpoint) -> None:
    unit, _ = _unit(run)
    endpoint.delay = 0.3
    command, pipe = [sys.executable, "-c", SERVE, str(run)], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=dict(os.environ)) as server:
        assert server.stdout is not None
        where = server.stdout.readline().strip()
        told = Ready(where, where.partition("token=")[2], lambda: None, lambda: None)
        _until(lambda: _reachable(told))
        before = endpoint.asked.total()
        _ask(told, "POST", "/api/explanation", {"unit": unit, "text": "a question that takes long"})
        _until(lambda: endpoint.asked.total() > before)
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=30)
    assert server.returncode == 130, said
    assert "Traceback" not in said
    assert KEY not in said
    assert told.token not in said
    assert "takes long" not in said
    (row,) = (row for row in read_table(run / "usage.parquet").to_dict("records") if row["stage"] == "browse")
    assert row["attempts"] > 0


def _reachable(server: Ready) -> bool:
    try:
        return _ask(server, "GET", "/api/state").status == 200
    except OSError:
        return False


def test_what_can_not_be_served_is_said_in_one_line(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _serving(run) as server:
        port = int(server.address.split(":")[2].split("/")[0])
        with pytest.raises(BadInput, match="--port"), ready(run, port=port, index=_index):
            pass
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "uvicorn", None)
        with pytest.raises(BadInput, match=r"pip install 'autointerp\[browse\]'"), ready(run, port=0, index=_index):
            pass
    shutil.rmtree(run / "browser")
    with pytest.raises(BadInput, match="autointerp browse"), ready(run, port=0, index=_index):
        pass
    with pytest.raises(BadInput), ready(run.parent, port=0, index=_index):
        pass
