"""A language model as a rater: the items of the same page, by the same rubric, never put together with people."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from autointerp.errors import BadInput, nearest
from autointerp.explain.highlight import with_marks
from autointerp.llm.answers.json import answer_object, between, read_json_object
from autointerp.llm.client import Asker
from autointerp.llm.open import Mode
from autointerp.llm.questions import read_each
from autointerp.llm.request import Question, Request, Response, Unreadable
from autointerp.progress import bar
from autointerp.prompting import Prompt, load_prompt
from autointerp.quoting import quoted
from autointerp.rate.drawing import PageChoice, ShownItem
from autointerp.rate.handing_out import Sheet, hand_out
from autointerp.rate.received import rating
from autointerp.rate.rubric import RubricPart, as_data, parts
from autointerp.rate.showing import ShownWindow
from autointerp.rate.taking import read_ratings, write_ratings
from autointerp.rating_rows import MODEL, RatingRow
from autointerp.records import Status, Unscored
from autointerp.run.resources import Resources
from autointerp.study_file import study_of
from autointerp.tables import read_arrow

PROMPT = "rubric/v1"
_ANSWER_TOKENS = 96
"""For four names and numbers, laid out over lines and inside a code fence."""
NOT_THE_PARTS = Unreadable("the answer's JSON does not hold just the parts of the rubric")
OUT_OF_POINTS = Unreadable("points that the rubric does not give")


def ask(run: Path, name: str, choice: PageChoice, *, replay: bool = False) -> list[RatingRow]:
    """Have the study's `[llm.NAME]` rate every item of the page that `choice` makes; put its rows into the table.

    It asks through the run's ledger, account and budget: a second call asks nothing that was answered. The rows of an
    earlier call by the same model on the same page are replaced. An answer that can't be read is asked again, then
    unscored with its reason. Raises BadInput for a model that the study does not have, and what asking raises.
    """
    study = study_of(run)
    if name not in study.llm:
        raise BadInput(f"the study of {run} has no [llm.{name}]", nearest(name, study.llm))
    handed = hand_out(run, choice)
    model = study.llm[name].model
    resources = Resources(study, run, Mode(replay))
    try:
        prompt = load_prompt(PROMPT, resources.prompts)
        with resources.asker(name, "rate") as asker:
            rows = rated(
                asker,
                handed.sheet,
                handed.drawn.items,
                parts(handed.drawn.logits),
                prompt,
                model,
                study.seed,
            )
    finally:
        _close(resources, run / "usage.parquet")
    mine = (MODEL, model, handed.sheet.sheet)
    write_ratings(run, [*(r for r in read_ratings(run) if (r.rater_kind, r.rater, r.sheet) != mine), *rows])
    return rows


def _close(resources: Resources, table: Path) -> None:
    """Close ledger and account; write the table of usage, but not over one that says more (of a published run)."""
    known = {(row["stage"], row["model"]) for row in read_arrow(table).to_pylist()} if table.is_file() else set()
    if known <= {(row.stage, row.model) for row in resources.usage.rows()}:
        resources.close()
    else:
        resources.usage.close()
        resources.ledger.close()


def rated(
    asker: Asker,
    sheet: Sheet,
    items: Sequence[ShownItem],
    rubric: Sequence[RubricPart],
    prompt: Prompt,
    model: str,
    seed: int,
) -> list[RatingRow]:
    """A row per item, in the order of the page."""
    names = list(sheet.items)
    questions = (question(item, rubric, prompt, model, seed) for item in items)
    rows: dict[int, RatingRow] = {}
    with bar("rate", len(items), "items") as progress:
        for place, said in read_each(asker, questions, progress):
            failed = said if isinstance(said, Unscored) else None
            given = {} if isinstance(said, Unscored) else said
            rows[place] = rating(
                sheet, names[place], given, failed, rater=model, rater_kind=MODEL, session=prompt.identity
            )
    return [rows[place] for place in sorted(rows)]


def question(
    item: ShownItem, rubric: Sequence[RubricPart], prompt: Prompt, model: str, seed: int
) -> Question[dict[str, int]]:
    """The item as a model sees it: what people see, with marks in the place of a colour."""
    members = {part.name: between(0, len(part.answers) - 1) for part in rubric}
    request = Request(
        messages=prompt.render(
            parts=as_data(rubric),
            example="{" + ", ".join(f'"{part.name}": ...' for part in rubric) + "}",
            explanation=quoted(item.explanation.text),
            excerpts=[{"weakest": w.strongest is None, "text": _marked(w)} for w in item.unit.windows],
            promoted=[quoted(token) for token in item.unit.promoted],
        ),
        model=model,
        max_tokens=_ANSWER_TOKENS,
        temperature=0.0,
        seed=seed,
        json_object=True,
        schema=answer_object(members),
    )
    return Question(request, partial(read_points, rubric=rubric))


def _marked(window: ShownWindow) -> str:
    return with_marks(window.pieces, np.array([place == window.strongest for place in range(len(window.pieces))]))


def read_points(response: Response, rubric: Sequence[RubricPart]) -> dict[str, int] | Unreadable:
    """Part -> points, all parts of the rubric and nothing else, each a whole number that it gives."""
    found = read_json_object(response.text)
    if isinstance(found, Unreadable):
        return found
    if set(found) != {part.name for part in rubric}:
        return NOT_THE_PARTS
    for part in rubric:
        value = found[part.name]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(part.answers):
            return OUT_OF_POINTS
    return {part.name: found[part.name] for part in rubric}


def failures(rows: Sequence[RatingRow]) -> dict[str, int]:
    """Why items have no answer -> how many."""
    reasons: dict[str, int] = {}
    for row in rows:
        if row.status != Status.OK:
            reasons[row.reason] = reasons.get(row.reason, 0) + 1
    return reasons
