"""The study: one TOML file, frozen; unknown keys are refused with the nearest valid one."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from autointerp.errors import nearest
from autointerp.study_inputs import (
    FACTORS,
    Corpus,
    Factor,
    Sae,
    SaeTraining,
    Scrambled,
    ScrambledSubject,
    Section,
    Seeds,
    Subject,
    Training,
    Units,
)
from autointerp.study_models import Budget, Llm, Sentences
from autointerp.study_published import with_registered_hooks


class Evidence(Section):
    """How many contexts each unit gets, and of which kind."""

    top: int = Field(default=24, ge=2)
    """Top evidence contexts: every other one is shown to the explainer, the rest rank its candidates."""
    quantiles: int = Field(default=4, ge=0)
    """Bands of the non-zero context maxima."""
    per_quantile: int = Field(default=2, ge=1)
    """Contexts drawn from each band."""
    random: int = Field(default=24, ge=2)
    """Evidence contexts drawn blindly: shared out between explainer and ranking like the top ones."""
    held_out_top: int = Field(default=5, ge=1)
    """Top held-out contexts in the slice top-and-random."""
    held_out_random: int = Field(default=5, ge=1)
    """Random held-out contexts in the slice top-and-random."""
    random_only: int = Field(default=20, ge=1)
    """Random held-out contexts in the slice random-only (the first ones are those of top-and-random)."""
    held_out_per_quantile: int = Field(default=0, ge=0)
    """Held-out contexts drawn from each of the `quantiles` bands, for the slices quantile-0 (lowest)...; 0: none."""
    hard_negatives: int = Field(default=0, ge=0)
    """Contexts of each of three sorts, evidence and held-out alike, that resemble a unit's active ones and leave it
    silent: they hold its top tokens, units that are often active with it are active, or their sentence vectors are the
    nearest. 0: none, and no sentence model is loaded."""

    @model_validator(mode="after")
    def _nested(self) -> Evidence:
        if self.random_only < self.held_out_random:
            raise ValueError(f"random_only = {self.random_only} is less than held_out_random = {self.held_out_random}")
        if self.held_out_per_quantile and not self.quantiles:
            raise ValueError("held_out_per_quantile draws from bands, and quantiles = 0 makes none")
        return self


class Explain(Section):
    """How explanations are proposed and chosen."""

    method: str = "best-of-n"
    """An explainer, or `best-of-n`: several explainers' candidates, ranked by the simulator on evidence."""
    methods: tuple[str, ...] = ("exemplars", "short-snippets")
    """The explainers that best-of-n asks."""
    candidates: int = Field(default=12, ge=1)
    """Candidates of every unit of every arm in all, over both orientations of a neuron."""
    model_share: float = Field(default=1 / 3, ge=0, le=1)
    """Best-of-n: the share of candidates that a language model writes."""
    revises: str = "highlight"
    """The explainer whose explanation `revise` starts from."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """Prompt per explainer, for example {highlight = "highlight/v1"}; none means the explainer's own default."""
    ranked_by: str = ""
    """A simulator that ranks candidates in place of `simulate.method`, by `[llm.ranker]` or, without that section, the
    built-in model in this process; '': none. Where an endpoint simulates, ranking is half of the cost."""
    llm: str = "explainer"
    """Which [llm.NAME] writes explanations."""


class Simulate(Section):
    """How activations are predicted from an explanation."""

    method: str = "reader"
    """A simulator ([methods](methods.md))."""
    lookup: bool = True
    """Also report the token table from evidence, which uses no explanation and no language model."""
    literal: bool = True
    """Also report what the explanations score, own and others', when read without any model: 1 where a token's text is
    a word that the explanation names (`literal`), or belongs to one (`literal-words`), else 0."""
    both_kinds: bool = True
    """Also simulate the best of a unit's texts of the other kind: its best description where a list of words was
    chosen, and the other way round. Where an endpoint simulates, that is one more pairing for a unit that has both."""
    bank: int = Field(default=64, ge=2)
    """Unrelated word lists that `lift`, `lift-next` and `reader` subtract. Through an endpoint each costs a request per
    distinct word of all contexts: 8 are enough to begin with."""
    llm: str = "simulator"
    """Which [llm.NAME] simulates."""


class Judge(Section):
    """Judges beside the correlation: they decide on whole held-out contexts."""

    methods: tuple[str, ...] = ()
    """`detection` (is the unit active in this context?), `fuzzing` (are these its tokens?), `intruder` (which context
    does not belong? no explanation is shown), `surprisal` (does the explanation make its contexts likelier? needs
    log-probabilities of prompts), `embedding` (is it nearer to them? the sentence model alone), `saebench` (which of
    fourteen contexts fit?), `promoted-tokens` (which tokens does the unit promote? a model in the process) and
    `promoted-literal` (does the explanation name them? no model), or registered ones; none: there is no judge."""
    llm: str = "explainer"
    """Which [llm.NAME] judges."""
    examples: int = Field(default=10, ge=4)
    """Held-out contexts per unit and judge at most, half of them active and half checked to be inactive. `fuzzing`
    takes the active half alone and shows it twice; `intruder` makes a trial of each inactive one, at least four.
    `saebench` always takes fourteen, four of them active, and `promoted-...` ten tokens and ten foils, whatever stands
    here and in `negatives`."""
    derangements: int = Field(default=1, ge=1)
    """Seeded pairings of each unit with another unit's explanation, which measure what chance gives."""
    negatives: Literal["random", "mixed", "hard"] = "random"
    """The silent contexts that stand against the active ones: random ones that proved silent, hard negatives
    (`evidence.hard_negatives`), or half of each."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """Prompt per judge, for example {detection = "detection/v1"}; none means the judge's own default."""


MetricName = Literal[
    "pearson", "spearman", "auroc", "average_precision", "r2", "r2_uncentred", "absolute_deviation",
    "weighted_pearson", "weighted_spearman", "weighted_auroc", "weighted_average_precision", "weighted_r2",
    "weighted_r2_uncentred", "weighted_absolute_deviation",
]  # fmt: skip
WEIGHTED = "weighted_"
"""How the names of the metrics begin that count each context as often as it stands for contexts of its split."""
_HEADLINES = ("top-and-random", "random-only")
_SLICES = (*_HEADLINES, "unlisted")


class Score(Section):
    """What is computed per unit."""

    metrics: tuple[MetricName, ...] = ("pearson", "spearman")
    """The first is the headline. `r2`, `r2_uncentred` and `absolute_deviation` need predictions in the unit's own
    scale, and so a `corpus.calibration`. A weighted metric is reported beside the plain one, never alone."""
    slices: tuple[str, ...] = _SLICES
    """`top-and-random`, `random-only`, `unlisted` (of the first the tokens alone that the explanation does not name:
    what a simulator knows beyond the words that are there), and `quantile-0` (the lowest) to the last of
    `evidence.quantiles`, which need `evidence.held_out_per_quantile`. The report's headline is one of the first two."""

    @field_validator("slices")
    @classmethod
    def _named(cls, slices: tuple[str, ...]) -> tuple[str, ...]:
        for name in slices:
            if name not in _SLICES and not re.fullmatch(r"quantile-\d+", name):
                raise ValueError(f"no slice '{name}': {nearest(name, [*_SLICES, 'quantile-0'])}")
        if not set(slices) & set(_HEADLINES):
            raise ValueError(f"name one of {' and '.join(_HEADLINES)}, which the headline is of")
        return slices

    @model_validator(mode="after")
    def _never_weighted_alone(self) -> Score:
        for name in self.metrics:
            plain = name.removeprefix(WEIGHTED)
            if plain not in self.metrics:
                raise ValueError(f"metrics has '{name}' alone: add '{plain}', the two are read side by side")
        return self


class Compare(Section):
    """How arms are compared."""

    baseline: str = "neuron"
    """The arm that the features are held against."""
    replicates: int = Field(default=1, ge=1)
    """How often what `redraw` names is drawn, each time into a run of its own below `replicates/`; the interval of a
    difference is then over these, and three are the fewest that give a useful one. The first is the run itself."""
    redraw: tuple[Factor, ...] = ()
    """What replicates draw anew, by the names of `[seeds]`; what does not depend on it is shared."""
    side_by_side: int = Field(default=0, ge=0)
    """Replicates carried out at a time, each in a process of its own that takes its part of `threads`; 0: as many as
    cores and memory allow, and one on a GPU or where an endpoint is asked."""
    resamples: int = Field(default=10_000, ge=1000)
    """Bootstrap resamples and permutations."""
    derangements: int = Field(default=16, ge=1)
    """Seeded pairings of each unit with another unit's explanation. Fewer than 16 save requests where an endpoint
    simulates, and make the null wider; the report says so."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Of every interval."""
    margin: float = Field(default=0.05, gt=0)
    """"No difference" is said only when the difference is shown to be within this of 0, on the scale of the score."""


class Study(Section):
    """Everything a run depends on."""

    seed: int = Field(default=0, ge=0)
    """All that is left to chance is drawn from it."""
    seeds: Seeds = Seeds()
    threads: int = Field(default=0, ge=0)
    """CPU threads of torch; 0: as many as there are cores. Recorded, since sums depend on it."""
    prompts_folder: str | None = None
    """A folder whose prompts take the place of the built-in ones."""
    subject: Subject = Subject()
    corpus: Corpus = Corpus()
    sae: tuple[Sae, ...] = (Sae(train=SaeTraining()),)
    training: Training = Training()
    scrambled: Scrambled = Scrambled()
    units: Units = Units()
    evidence: Evidence = Evidence()
    llm: dict[str, Llm] = Field(default_factory=lambda: {"explainer": Llm(), "simulator": Llm()})
    budget: Budget = Budget()
    sentences: Sentences = Sentences()
    explain: Explain = Explain()
    simulate: Simulate = Simulate()
    judge: Judge = Judge()
    score: Score = Score()
    compare: Compare = Compare()

    @property
    def scrambled_subjects(self) -> tuple[ScrambledSubject, ...]:
        """The scrambled subjects of this study; none where it trains no SAE."""
        wanted = self.scrambled
        if not any(sae.train for sae in self.sae):
            return ()
        return tuple(ScrambledSubject(scheme=s, seed=n) for s in wanted.schemes for n in wanted.seeds)

    @property
    def ranking(self) -> Study:
        """This study as the ranking of candidates sees it: `explain.ranked_by` is its simulator."""
        if not self.explain.ranked_by:
            return self
        simulate = self.simulate.model_copy(update={"method": self.explain.ranked_by, "llm": "ranker"})
        return self.model_copy(update={"simulate": simulate, "llm": {"ranker": Llm(), **self.llm}})

    def seed_for(self, factor: Factor) -> int:
        """The seed that this part of the run is drawn from."""
        own: int | None = getattr(self.seeds, factor)
        return self.seed if own is None else own

    @model_validator(mode="before")
    @classmethod
    def _hooks_of_the_registry(cls, raw: Any) -> Any:
        """An SAE that SAELens' registry knows reads where the registry says, unless the study does."""
        return with_registered_hooks(raw) if isinstance(raw, dict) else raw

    @field_validator("llm", mode="before")
    @classmethod
    def _both_roles(cls, llm: Any) -> Any:
        """A study that configures one role keeps the default of the other."""
        return {"explainer": {}, "simulator": {}, **llm} if isinstance(llm, dict) else llm

    @model_validator(mode="after")
    def _names_agree(self) -> Study:
        names = [s.name for s in self.sae]
        if len(set(names)) < len(names):
            raise ValueError(f"two SAEs share a name ({', '.join(names)}): give each [[sae]] its own name")
        for sae in self.sae:
            if sae.hook not in self.subject.hooks:
                raise ValueError(
                    f"sae.hook '{sae.hook}' is not in subject.hooks: {nearest(sae.hook, self.subject.hooks)}"
                )
        for section, name in (("explain", self.explain.llm), ("simulate", self.simulate.llm)):
            if name not in self.llm:
                raise ValueError(f"{section}.llm '{name}' is not configured: {nearest(name, self.llm)}")
        return self

    @model_validator(mode="after")
    def _replicates_differ(self) -> Study:
        wanted = self.compare
        if wanted.replicates > 1 and not wanted.redraw:
            raise ValueError(
                f"compare.replicates = {wanted.replicates} and compare.redraw is empty, so all would be the same: name "
                f"what is drawn anew, of {', '.join(FACTORS)}"
            )
        if len(set(wanted.redraw)) < len(wanted.redraw):
            raise ValueError(f"compare.redraw = {list(wanted.redraw)} names one twice: take it out")
        if "sae" in wanted.redraw and not any(sae.train for sae in self.sae):
            raise ValueError(
                "compare.redraw names 'sae', and this study trains none: that changes nothing, so take it out"
            )
        return self

    @model_validator(mode="after")
    def _contexts_are_drawn(self) -> Study:
        """What is scored or judged must be among the contexts that are gathered."""
        wanted = self.evidence
        bands = {f"quantile-{band}" for band in range(wanted.quantiles if wanted.held_out_per_quantile else 0)}
        for name in self.score.slices:
            if name not in _SLICES and name not in bands:
                raise ValueError(
                    f"score.slices has '{name}', of which no held-out context is drawn: set "
                    "evidence.held_out_per_quantile, and evidence.quantiles above its number"
                )
        if self.judge.negatives != "random" and not wanted.hard_negatives:
            raise ValueError(
                f"judge.negatives = '{self.judge.negatives}' and no hard negative is gathered: set "
                "evidence.hard_negatives, for example to 4"
            )
        return self
