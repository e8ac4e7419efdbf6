"""`autointerp self-explain`: a study's model is asked about reviews, and what it says of itself is put to the test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from autointerp import __version__
from autointerp.errors import BadInput, nearest
from autointerp.llm.budget.counting import CountingAsker, Tally, token_counter
from autointerp.llm.budget.prices import Tokens
from autointerp.llm.budget.purse import check_price
from autointerp.llm.open import Mode, check_llm, identity_of
from autointerp.llm.providers import LOCAL
from autointerp.metrics.intervals import Resampling
from autointerp.models import load_tokenizer
from autointerp.progress import aligned
from autointerp.prompting import load_prompt
from autointerp.run.checks import find_capabilities
from autointerp.run.estimating import EstimateLine
from autointerp.run.resources import Resources
from autointerp.self_explanation.account_folder import AboutAccounts, AccountResults, read_accounts, write_accounts
from autointerp.self_explanation.account_report import write_report
from autointerp.self_explanation.explained_reviews import AccountAsking, explain
from autointerp.self_explanation.faithfulness_tables import PREDICT, account_rows, measure_rows, summary_rows
from autointerp.self_explanation.figure import draw_accounts
from autointerp.self_explanation.masked_reviews import TOP_LOGPROBS, Predicting
from autointerp.self_explanation.own_accounts import ORDERS
from autointerp.self_explanation.reviews import ReviewSet, generated, read_reviews
from autointerp.self_explanation.rival_accounts import LIME_DRAWS
from autointerp.study import Study

STAGE = "self-explain"
"""Under which requests are paid for."""
PROMPTS = {name: f"self-explanation/{name}-v1" for name in (*ORDERS, PREDICT)}
"""Order, or the label alone -> prompt."""
FROZEN, DEVELOPMENT = "held-out", "development"


@dataclass(frozen=True)
class AccountChoice:
    """What the user wants."""

    orders: tuple[str, ...] = tuple(ORDERS)
    limit: int = 40
    """Reviews at most."""
    seed: int = 0
    file: Path | None = None
    """Reviews of the user's; None: generated ones."""
    half: str = FROZEN
    """Of the generated ones."""
    lime_draws: int = LIME_DRAWS
    """Random parts of each review that LIME asks about."""

    def reviews(self) -> ReviewSet:
        """Those that are asked about. BadInput for a file that can't be read."""
        if self.file is not None:
            return read_reviews(self.file, self.limit, self.seed)
        return generated(self.half, self.limit, self.seed)


def self_explain(study: Study, name: str, choice: AccountChoice, out: Path, *, replay: bool = False) -> AccountResults:
    """Ask the study's `[llm.NAME]` for accounts, labels and what it says of reviews with words taken out; write `out`.

    Everything goes through the ledger, the account and the budget of `out`: a second call asks nothing that was
    answered. Tables, `report.md` and the figure are written. Raises BadInput for a model that the study does not have,
    and what asking raises.
    """
    asked = _study_for(study, name)
    reviews = choice.reviews()
    resources = Resources(asked, out, Mode(replay))
    try:
        if not replay:
            _check(asked, name)
            find_capabilities(resources, None)
        asking = _asking(resources, name, choice)
        with resources.asker(name, STAGE) as asker:
            found = explain(asker, reviews.reviews, asking)
    finally:
        resources.close()
    accounts, measured = tuple(account_rows(found)), tuple(measure_rows(found))
    plan = Resampling(study.compare.resamples, study.compare.confidence)
    about = AboutAccounts(
        version=__version__,
        model=asked.llm[name].model,
        endpoint=identity_of(asked.llm[name]),
        reviews=reviews.name,
        left_out=reviews.left_out,
        prompts={**{o: p.identity for o, p in asking.prompts.items()}, PREDICT: asking.predicting.prompt.identity},
        logprobs=asking.predicting.logprobs,
        lime_draws=asking.lime_draws,
        seed=choice.seed,
        resamples=plan.resamples,
        confidence=plan.confidence,
    )
    summary = tuple(summary_rows(measured, accounts, plan, choice.seed))
    write_accounts(out, AccountResults(about, accounts, measured, summary))
    return redraw(out)


def redraw(folder: Path) -> AccountResults:
    """Report and figure again, from the tables alone."""
    results = read_accounts(folder)
    draw_accounts(folder)
    write_report(folder)
    return results


def _study_for(study: Study, name: str) -> Study:
    """The study, nothing in it asking another model than `name`: its probe is the one that is made."""
    if name not in study.llm:
        raise BadInput(f"no section [llm.{name}] in the study", nearest(name, study.llm))
    return study.model_copy(
        update={
            "simulate": study.simulate.model_copy(update={"method": "literal"}),
            "explain": study.explain.model_copy(update={"ranked_by": ""}),
            "judge": study.judge.model_copy(update={"methods": ("detection",), "llm": name, "negatives": "random"}),
        }
    )


def _check(study: Study, name: str) -> None:
    check_llm(study.llm[name])
    if study.llm[name].provider != LOCAL:
        check_price(study.budget, study.llm[name])


def _asking(resources: Resources, name: str, choice: AccountChoice) -> AccountAsking:
    """How the model is asked; off log-probabilities where it is known to give them."""
    llm = resources.study.llm[name]
    found = resources.capabilities(name)
    logprobs = found is not None and found.top_logprobs >= TOP_LOGPROBS and not found.token_ids
    prompts = {order: load_prompt(PROMPTS[order], resources.prompts) for order in choice.orders}
    seed = resources.study.seed
    predicting = Predicting(load_prompt(PROMPTS[PREDICT], resources.prompts), llm.model, seed, logprobs)
    return AccountAsking(predicting, choice.orders, prompts, choice.seed, choice.lime_draws)


def estimated(study: Study, name: str, choice: AccountChoice, out: Path) -> EstimateLine:
    """What will be asked: nothing is sent. Which words each method takes away is not known yet, so the requests for
    that are counted with made-up numbers in their place: a few more or less are asked. Raises BadInput."""
    asked = _study_for(study, name)
    llm = asked.llm[name]
    resources = Resources(asked, out, Mode(replay=True))
    rough = llm.provider != LOCAL and llm.tokenizer is None
    tokenizer = load_tokenizer(llm.model if llm.provider == LOCAL else llm.tokenizer or study.subject.model)
    tally = Tally()
    try:
        counting = CountingAsker(resources.ledger, identity_of(llm), llm, token_counter(tokenizer), tally)
        asking = _asking(resources, name, choice)
        explain(counting, choice.reviews().reviews, replace(asking, foresight=True))
    finally:
        resources.close()
    tokens = Tokens(tally.input_tokens, tally.output_tokens)
    return EstimateLine(STAGE, name, llm, tally.requests, tally.known, tokens, rough)


def estimate_text(line: EstimateLine) -> Iterator[str]:
    """The estimate as an aligned table, and what to know about it."""
    about = "about " if line.rough else ""
    dollars = "unknown (no price in the study)" if line.usd is None else f"${line.usd:,.4f}"
    yield from aligned(
        [
            ("model", "requests", "in ledger", "prompt tokens", "answer tokens, at most", "dollars, at most"),
            (
                line.llm.model, f"about {line.requests:,}", f"{line.known:,}", f"{about}{line.tokens.input:,}",
                f"{line.tokens.output:,}", "none: in this process" if line.llm.provider == LOCAL else dollars,
            ),
        ]
    )  # fmt: skip
    yield ""
    yield "No call was made. Re-asks come on top; which words are taken away depends on the answers."
    if line.rough:
        yield f"Prompt tokens are rough, counted with the subject's tokenizer: set llm.{line.name}.tokenizer."
