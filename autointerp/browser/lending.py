"""What a run lends to its pages: simulator, judges, ledger and account; and what it can't lend here, with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from autointerp.errors import BadInput
from autointerp.judge.registry import JUDGES, check_judges, traits_of, uses_model
from autointerp.llm.budget.account import Counted, Usage
from autointerp.llm.budget.purse import check_price
from autointerp.llm.ledger.ledger import FILE_NAME
from autointerp.llm.open import Mode, check_llm
from autointerp.llm.providers import LOCAL
from autointerp.llm.request import Answer, Request
from autointerp.models.sentences import check_sentence_model
from autointerp.run.manifest import REPLICATES
from autointerp.run.resources import SPENDING, Resources
from autointerp.simulate.registry import check_simulator, needs_of
from autointerp.study import Study
from autointerp.study_models import Llm
from autointerp.tables import EFFECTS, write_table
from autointerp.train.subject import SUBJECT
from autointerp.units.interface import kind_of
from autointerp.units.noise import NoiseUnits

FOLDER = "browser"
"""Where the pages of a run are, by path in the run folder."""
STAGE = "browse"
"""Who asked, in the account."""
_PUBLISHED = "a published run leaves it out: run its study again, or serve the folder of the run itself"


class LentResources(Resources):
    """Those of a finished run: the same ledger and account; of a run without, its own beside the pages."""

    def __init__(self, study: Study, run: Path, ledger: Path | None = None) -> None:
        """`ledger`: of a run whose answers are not in its folder."""
        super().__init__(study, run, Mode(), ledger or _kept(run, FILE_NAME))
        self._account = _kept(run, SPENDING)
        self.judging: tuple[str, ...] = ()
        """The judges that are asked next."""
        self.told: Callable[[Answer], None] = lambda answer: None
        """Hears every answer."""

    @cached_property
    def usage(self) -> Usage:
        """The run's account, with the run's limits."""
        return Usage(self._account, self.study.budget)

    @property
    def judge_names(self) -> Sequence[str]:
        """Those that are asked."""
        return self.judging

    @contextmanager
    def asker(self, name: str, stage: str, *, batch: bool = False) -> Iterator[Any]:
        """As in a run, but never in batches: a reader waits."""
        with super().asker(name, stage) as asker:
            yield _Overheard(asker, lambda answer: self.told(answer))

    def same_words(self, llm: Llm) -> bool:
        """A subject that the run trained has words of its own, also where its files are not here."""
        if self.study.subject.train is not None and not (self.run / SUBJECT).is_dir():
            return False
        return super().same_words(llm)

    @contextmanager
    def as_in(self, study: Study) -> Iterator[None]:
        """Those of another form of the run's study, for a while."""
        before, self.study = self.study, study
        try:
            yield
        finally:
            self.study = before

    def close(self) -> None:
        """Write what was spent beside the account that it is from, and close account and ledger."""
        if "usage" in self.__dict__:
            if rows := self.usage.rows():
                write_table("usage", self._account.parent / "usage.parquet", rows)
            self.usage.close()
        if "ledger" in self.__dict__:
            self.ledger.close()


class _Overheard:
    """An Asker that tells of every answer."""

    def __init__(self, inner: Counted, told: Callable[[Answer], None]) -> None:
        self.identity, self.reasks, self._inner, self._told = inner.identity, inner.reasks, inner, told

    @property
    def unanswered(self) -> int:
        """Requests that nothing came back for."""
        return self._inner.unanswered

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """As the inner one."""
        for place, answer in self._inner.stream(requests):
            self._told(answer)
            yield place, answer


def _kept(run: Path, name: str) -> Path:
    """A file of the run, or of the run that this is a replicate of; else one beside the pages: a published run, which
    has none, is left as it is."""
    own = [run / name, *([run.parent.parent / name] if run.parent.name == REPLICATES else [])]
    return next((path for path in own if path.is_file()), run / FOLDER / name)


def judged_by(study: Study, judge: str) -> Study:
    """The study with this judge alone."""
    prompts = {name: prompt for name, prompt in study.judge.prompts.items() if name == judge}
    return study.model_copy(update={"judge": study.judge.model_copy(update={"methods": (judge,), "prompts": prompts})})


def check_explanations(study: Study) -> None:
    """Raise BadInput where the run's simulator can't be asked here, as far as that is known without a call."""
    check_simulator(study)
    needs = needs_of(study.simulate.method)
    if needs.language_model:
        _check(study, study.simulate.llm)
    elif needs.sentences:
        check_sentence_model(study.sentences.model)


def check_judge(study: Study, run: Path, judge: str) -> None:
    """Raise BadInput where a judge can't be asked here."""
    check_judges(judged_by(study, judge))
    if uses_model(judge):
        _check(study, study.judge.llm)
    if traits_of(judge).needs.sentences:
        check_sentence_model(study.sentences.model)
    if traits_of(judge).of_tokens and not (run / EFFECTS).is_file():
        raise BadInput(f"what the units promote is not in this folder ({EFFECTS})", _PUBLISHED)


def check_activations(resources: LentResources, arm: str) -> None:
    """Raise BadInput where the units of an arm can't be read on a text here."""
    if kind_of(arm) == NoiseUnits.name:
        raise BadInput("noise has nothing to do with any text", "look at another unit")
    if resources.study.subject.train is not None and not (resources.run / SUBJECT / "config.json").is_file():
        raise BadInput("the subject that this run trained is not in its folder", _PUBLISHED)
    files = resources.encoder_files()
    lacking = [name for name in encoders_of(arm, resources) if not files[name].exists()]
    if lacking:
        raise BadInput(f"what reads this unit ('{lacking[0]}') is not in the run's folder", _PUBLISHED)


def why_not(check: Callable[[], None]) -> str | None:
    """What a check raises, in one line; None when it holds."""
    try:
        check()
    except BadInput as error:
        return str(error)
    return None


def all_judges(study: Study) -> list[str]:
    """Every judge that there is, the run's own first."""
    return list(dict.fromkeys([*study.judge.methods, *JUDGES.names()]))


def encoders_of(arm: str, resources: Resources) -> list[str]:
    """The names of the encoders that a kind of unit looks at; none for neurons and random directions."""
    kind, study = kind_of(arm), resources.study
    own = [sae.name for sae in study.sae]
    every = list(resources.encoder_files())
    of = {
        "feature": own,
        NoiseUnits.name: own,
        "scrambled-feature": [name for name in every if "@" in name and name.partition("@")[0] in own],
        "neuron": [],
        "scrambled-neuron": [],
        "direction": [],
    }
    return of.get(kind, [name for name in every if name.partition("@")[0] == kind])


def _check(study: Study, role: str) -> None:
    llm = study.llm[role]
    check_llm(llm)
    if llm.provider != LOCAL:
        check_price(study.budget, llm)
