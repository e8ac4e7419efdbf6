"""The rows of every table: a column is said here alone, and an unknown number is None, never 0. `tables` makes the
schemas of the files from these classes, and `docs/tables.md` is made from them too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from autointerp import attribution_rows
from autointerp.adjusted_rows import AdjustedRow, CovariateRow
from autointerp.benchmark_rows import BenchmarkRow, PlantedScore, RecoveryRow, SanityRow
from autointerp.between_rows import BetweenRunsRow
from autointerp.component_rows import ComponentRow
from autointerp.influence_rows import InfluenceRow
from autointerp.published_rows import PublishedExplanationRow
from autointerp.rating_rows import RatingRow
from autointerp.records import Big, Context, Exemplar, Pairing, Scale, Status, Unit, Unscored
from autointerp.relation_rows import HistogramRow, RelationRow, SurveyRow
from autointerp.sae_rows import SaeRow
from autointerp.scrambled_rows import MeasureRow, ScrambledRow
from autointerp.self_explanation_rows import FaithfulnessRow, FaithfulnessSummaryRow, SelfExplanationRow
from autointerp.suggested_rows import SuggestedRow
from autointerp.toy_rows import ToyFeatureRow, ToyPhaseRow, ToyRecoveryRow, ToyRow
from autointerp.variance_rows import FactorRow, VarianceRow

ALL = "all"
"""The stratum of all units."""
OWN_SHUFFLED = "shuffled"
"""Baseline of an arm that is held against its own units with another unit's explanation."""
READ_LITERALLY = "literal"
"""Baseline of an arm that is held against its own units, the same explanations being read literally."""
TOKEN_TABLE = "lookup"
"""Baseline of an arm that is held against its own units' token tables."""
NO_BASELINE = ""
PRIMARY, SECONDARY, OUTSIDE = "primary", "secondary", "outside"
"""Families of tests."""


def state_of(result: object) -> tuple[Status, str]:
    """Status and reason of what may have failed."""
    return (Status.UNSCORED, result.reason) if isinstance(result, Unscored) else (Status.OK, "")


def answer_of(result: object) -> str:
    """What could not be used of what may have failed; '' for what has not, and where nothing came back."""
    return result.answer if isinstance(result, Unscored) else ""


@dataclass(frozen=True)
class DocumentRow:
    """A document of the corpus that has contexts in the run."""

    document: int
    """Its number, in the order in which documents were taken."""
    source: str
    """The source file (or module, or data set row group) that it is from."""
    split: str
    """Where all its contexts are used."""
    licence: str
    """As its source states it; '' where it states none."""
    characters: int
    """Of its text."""
    tokens: int
    """In all, those that are in no context included."""
    contexts: int
    """How many contexts were taken from it."""
    text_hash: str
    """First 16 digits of the hash of the text with white space folded: no two documents of a run have the same."""


@dataclass(frozen=True)
class EffectsRow:
    """What a unit does to the next token by its output direction alone, through final norm and unembedding."""

    unit: str
    promoted: tuple[str, ...]
    """Tokens whose logits it raises most, the strongest first."""
    suppressed: tuple[str, ...]
    """Tokens whose logits it lowers most, the strongest first."""
    status: Status
    reason: str


@dataclass(frozen=True)
class ExplanationRow:
    """The chosen explanation of a unit."""

    unit: str
    arm: str
    explainer: str
    """Who wrote it; '' when nothing was proposed."""
    replicate: int
    text: str
    """The explanation; '' without one."""
    candidates: int
    """How many were there to choose from."""
    evidence_score: float | None
    """Its score on the ranking contexts, evidence all of them: Pearson of the simulator's predictions."""
    prompt: str
    """`name@hash` of the prompt; '' when no language model was asked."""
    request: str
    """The ledger's key of the request; '' when no language model was asked."""
    status: Status
    reason: str
    kind: str = ""
    """`list`: words, such as an explainer writes that asks no model; `description`: any other text; '' without one."""


@dataclass(frozen=True)
class ProposalRow:
    """An explanation that was proposed for a unit, in one of its orientations; or why it was not."""

    unit: str
    """With its orientation, where it has two."""
    arm: str
    place: int
    """Among all that were proposed for the unit in this orientation, from 0."""
    explainer: str
    """Who proposed it."""
    kind: str
    """`list`, `description`, or '' where there is no text."""
    text: str
    """The explanation; '' where it failed."""
    prompt: str
    """`name@hash` of the prompt; '' when no language model was asked."""
    request: str
    """The ledger's key of the request; '' when no language model was asked."""
    evidence_score: float | None
    """Its score on the ranking contexts: Pearson of the simulator's predictions. The best of them is chosen."""
    spare: bool
    """Whether it stands in for one that failed."""
    chosen: bool
    """Whether it is the unit's explanation."""
    status: Status
    """`ok` where it was ranked."""
    reason: str


@dataclass(frozen=True)
class RevisionRow:
    """What became of a first explanation that `revise` rewrote. Only in runs with that explainer."""

    unit: str
    first: str | None
    """The first explanation."""
    first_score: float | None
    """On the ranking contexts that remain to rank."""
    revision: str | None
    """What it was rewritten to; None where there is none to read."""
    revision_score: float | None
    """On the same contexts."""
    kept: str
    """`first` or `revision`."""
    status: Status
    reason: str


@dataclass(frozen=True)
class SimulationRow:
    """What a simulator predicts on one held-out or calibration context from the unit's own explanation."""

    unit: str
    simulator: str
    replicate: int
    context: int
    predicted: Float[np.ndarray, " token"] | None
    """One value per token of the context."""
    scale: Scale | None
    """Of `predicted`."""
    status: Status
    reason: str
    answer: str = ""
    """The beginning of the answer that could not be used; '' where nothing came back, and where all is well."""


@dataclass(frozen=True)
class ShuffledRow:
    """The score of a unit with another unit's explanation."""

    unit: str
    explanation_of: str
    """The other unit, of the same arm."""
    simulator: str
    replicate: int
    derangement: int
    """Number of the derangement that paired the two, from 0."""
    metric: str
    slice: str
    value: float | None
    status: Status
    reason: str


@dataclass(frozen=True)
class ByKindRow:
    """The score of a unit's best list, or of its best description, by the ranking on evidence; chosen or not."""

    unit: str
    simulator: str
    replicate: int
    pairing: Pairing
    """`list` or `description`: which of the two."""
    metric: str
    slice: str
    value: float | None
    status: Status
    reason: str


@dataclass(frozen=True)
class JudgementRow:
    """One item that a judge was asked about; one row without an item where a whole pairing could not be judged."""

    unit: str
    explanation_of: str
    """Whose explanation: the unit itself, or another unit of its arm."""
    derangement: int
    """Number of the derangement that paired the two; -1 for the unit's own explanation."""
    judge: str
    prompt: str
    """`name@hash` of the judge's prompt."""
    replicate: int
    context: int | None
    shown: int | None
    """The item's place among all items of the pairing, from 0."""
    truth: bool | None
    """The right answer."""
    probability: float | None
    """P(yes)."""
    status: Status
    reason: str
    token: str = ""
    """The token that was judged; '' where contexts are."""
    answer: str = ""
    """The beginning of the answer that could not be used; '' where nothing came back, and where all is well."""


@dataclass(frozen=True)
class ScoreRow:
    """How well one unit's explanation predicts it: by one simulator or judge, metric and slice."""

    unit: str
    arm: str
    pairing: Pairing
    """`own` explanation; `shuffled`: the mean over others'; `list`, `description`: its best of that kind."""
    explainer: str
    """Who wrote the explanation; '' where none is used."""
    scorer: str
    """Simulator or judge."""
    metric: str
    slice: str
    replicate: int
    value: float | None
    chance: float
    """What knowing nothing scores."""
    n_tokens: int | None
    """Tokens that were correlated; None where whole contexts were judged."""
    n_contexts: int
    """Contexts of the slice; 0 where tokens are judged."""
    status: Status
    reason: str
    kind: str = ""
    """Of the explanation that was chosen for the unit: `list` or `description`; '' without one."""
    subject: str = ""
    """The scrambled subject that it is a unit of; '' for the subject itself."""


@dataclass(frozen=True)
class Cell:
    """What is held fixed when arms are compared."""

    scorer: str
    metric: str
    slice: str
    stratum: str = ALL


@dataclass(frozen=True)
class ComparisonRow:
    """A row of the `comparison` table; None is an unknown number.

    With an empty baseline it describes one arm. With a baseline, `n`, `n_baseline`, `difference`... and `note` are of
    the comparison, and the columns from `unscored` to `chance` repeat the arm's own.
    """

    scorer: str
    """Simulator or judge."""
    metric: str
    slice: str
    stratum: str
    pairing: str
    """`own`, `shuffled`, `list` or `description`, of the arm's scores."""
    arm: str
    baseline: str
    """The arm that it is held against; `shuffled`: its own units with others' explanations; `literal`: its own, read
    literally (of the pairing `description`: their best lists read so); `lookup`: their token tables; '' for none."""
    n: int
    """Scored units of the arm; for the baselines `shuffled`, `literal` and `lookup`, units scored in both ways."""
    n_baseline: int | None
    """Scored units of the baseline; None without one."""
    unscored: int
    """Sampled units of the arm that have no score."""
    excluded: int | None
    """Units left out before sampling; known for the stratum `all` only."""
    coverage: float | None
    """n / (n + unscored); None when nothing was sampled."""
    reasons: str
    """Why units are unscored: `reason: count; ...`, the commonest first."""
    mean: float | None
    """Mean score of the arm's scored units."""
    low: float | None
    """Lower bound of the mean's interval over units: studentised bootstrap, Student's t below 10 units."""
    high: float | None
    """Its upper bound."""
    median: float | None
    """Median score."""
    median_low: float | None
    """Lower bound of the median's interval."""
    median_high: float | None
    """Its upper bound."""
    mean_unscored_at_chance: float | None
    """The mean if every unscored unit had scored what chance gives: the sensitivity to what could not be scored."""
    chance: float
    """What knowing nothing scores."""
    difference: float | None = None
    """Mean of the arm minus mean of the baseline."""
    difference_low: float | None = None
    """Lower bound of its interval: Welch's t; of the same units as that of a mean."""
    difference_high: float | None = None
    """Its upper bound."""
    superiority: float | None = None
    """P(a unit of the arm scores above one of the baseline), ties counted half."""
    p: float | None = None
    """Of a two-sided permutation test of the difference, or Welch's tail where none is as extreme; unadjusted."""
    p_holm: float | None = None
    """Adjusted over the p of the row's family; None outside any."""
    note: str = ""
    """What is special about the interval or the test."""
    family: str = ""
    """`primary`: features against the baseline in the headline's cell; `secondary`: other questions of a scorer and
    metric; `outside`: against shuffled or token table, table and literal rows, strata under 10 units; '' without p."""
    p_equivalent: float | None = None
    """Of two one-sided t tests that the difference is within `compare.margin` of 0 (TOST); unadjusted."""
    p_equivalent_holm: float | None = None
    """The same, adjusted as `p_holm`."""
    smallest: float | None = None
    """The difference that a test at 5% would have found with 80% power, on the scale of the score."""
    superiority_low: float | None = None
    """Lower bound of the superiority's interval."""
    superiority_high: float | None = None
    """Its upper bound."""
    subject: str = ""
    """The scrambled subject of the arm's units; '' for the subject itself."""
    median_difference: float | None = None
    """Median of the arm minus median of the baseline; None for the same units."""
    median_difference_low: float | None = None
    """Lower bound of its interval: BCa bootstrap, or percentiles where that is undefined."""
    median_difference_high: float | None = None
    """Its upper bound."""

    @property
    def cell(self) -> Cell:
        """What was held fixed."""
        return Cell(self.scorer, self.metric, self.slice, self.stratum)


@dataclass(frozen=True)
class UsageRow:
    """What a stage asked of a model, and what it cost, over all calls on the run folder."""

    stage: str
    """Who asked."""
    model: str
    """As the study names it."""
    requests: int
    """Distinct ones, those that the ledger answered included."""
    cached: int
    """Of `requests`: answered by the ledger."""
    attempts: int
    """What was sent, retries included."""
    uncertain: int
    """Attempts that ended without word of what was used; they are counted at their worst case."""
    input_tokens: Big
    """Prompt tokens, as the endpoint counts them."""
    cached_input_tokens: Big
    """Of `input_tokens`: read from the endpoint's prompt cache."""
    output_tokens: Big
    """Answer tokens."""
    cost_usd: float | None
    """None where the study gives no price."""
    saved_input_tokens: Big
    """What the ledger's answers would have taken."""
    saved_output_tokens: Big
    """The same, answer tokens."""
    saved_usd: float | None
    """The same, dollars; None where the study gives no price."""


ROWS: Mapping[str, type] = {
    "documents": DocumentRow,
    "contexts": Context,
    "sae": SaeRow,
    "components": ComponentRow,
    "units": Unit,
    "evidence": Exemplar,
    "effects": EffectsRow,
    "explanations": ExplanationRow,
    "proposals": ProposalRow,
    "published": PublishedExplanationRow,
    "revisions": RevisionRow,
    "simulations": SimulationRow,
    "shuffled": ShuffledRow,
    "by_kind": ByKindRow,
    "judgements": JudgementRow,
    "scores": ScoreRow,
    "comparison": ComparisonRow,
    "scrambled": ScrambledRow,
    "measures": MeasureRow,
    "covariates": CovariateRow,
    "adjusted": AdjustedRow,
    "survey": SurveyRow,
    "histograms": HistogramRow,
    "relations": RelationRow,
    "variance": VarianceRow,
    "variance_sources": FactorRow,
    "comparison-of-runs": BetweenRunsRow,
    "usage": UsageRow,
    "suggested": SuggestedRow,
    "ratings": RatingRow,
    "influence": InfluenceRow,
    "benchmark": BenchmarkRow,
    "benchmark_scores": PlantedScore,
    "benchmark_sanity": SanityRow,
    "benchmark_recovery": RecoveryRow,
    **attribution_rows.TABLES,
    "self_explanations": SelfExplanationRow,
    "faithfulness": FaithfulnessRow,
    "faithfulness_summary": FaithfulnessSummaryRow,
    "toy": ToyRow,
    "toy_features": ToyFeatureRow,
    "toy_phases": ToyPhaseRow,
    "toy_recovery": ToyRecoveryRow,
}
"""Table -> its row. Those that begin with `benchmark`, `comparison-of-runs`, `variance_sources`, and those of
`attribute`, `self-explain`, `influence` and `toy` are of folders of their own."""
