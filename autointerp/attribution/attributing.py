"""From prompts to passages, matrices, latents and faithfulness; and what that costs, before it is paid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from autointerp.attribution.attributors import DUMB, INTEGRATED, METHODS, AttributionMatrix, AttributionSettings
from autointerp.attribution.faithfulness import CURVE, SHARES
from autointerp.attribution.latents import LatentAttribution, attribute_to_latents
from autointerp.attribution.opening import OpenedModel
from autointerp.attribution.passages import Chat, Passage, passage_of
from autointerp.attribution.prompts import GivenPrompt
from autointerp.attribution.targets import MEMORY, Outputs
from autointerp.attribution.trust import PERMUTED, TARGETS, faithfulness_rows
from autointerp.attribution_rows import AttributionFaithfulnessRow
from autointerp.errors import BadInput
from autointerp.models import LoadedModel
from autointerp.progress import bar
from autointerp.study_inputs import ScrambledSubject
from autointerp.subject.forward import Subject
from autointerp.subject.scrambling import scramble

_PERMUTED_OF = (INTEGRATED, "gradient-x-input")


@dataclass(frozen=True)
class AttributionChoice:
    """What is attributed, by what, and how far that is tried."""

    methods: tuple[str, ...] = (INTEGRATED,)
    settings: AttributionSettings = field(default_factory=AttributionSettings)
    tokens: int = 16
    """Written at most, where no output is given."""
    chat: Chat = "auto"
    tried: int = TARGETS
    """Output tokens of each passage whose faithfulness is measured; 0: none."""
    permuted: bool = False
    """Try the gradient methods of a model with permuted weights besides: the null of a destroyed model."""
    memory: float = MEMORY


@dataclass(frozen=True)
class AttributedPassage:
    """All that is found of one passage."""

    passage: Passage
    log_probabilities: tuple[float, ...]
    matrices: dict[str, AttributionMatrix]
    latents: LatentAttribution | None
    faithfulness: list[AttributionFaithfulnessRow]


@dataclass(frozen=True)
class PassCosts:
    """What attributing costs, before it is done."""

    forward: int
    """Rows that go forward: passages of the model, whatever the batch."""
    backward: int
    """Of them, how many go backward."""
    row_bytes: int
    """Of the longest passage, with its gradients."""
    rows: int
    """In a batch of it."""
    positions: int
    """Of the longest passage."""

    @property
    def line(self) -> str:
        """In words."""
        memory = self.rows * self.row_bytes / 2**30
        return (
            f"{self.forward:,} rows forward, {self.backward:,} of them backward, of at most {self.positions} tokens; "
            f"{self.rows} at a time, about {memory:.2g} GiB beside the weights"
        )


def attribute(
    opened: OpenedModel, prompts: Sequence[GivenPrompt], choice: AttributionChoice
) -> Iterator[AttributedPassage]:
    """Each prompt in turn. Raises BadInput as `passage_of` does, and for an unknown method."""
    check_methods(choice.methods)
    destroyed = _destroyed(opened.loaded, choice.settings.seed) if choice.permuted else None
    with bar("attribute", len(prompts), "prompts") as progress:
        for number, given in enumerate(prompts):
            passage = passage_of(
                opened.loaded, given.prompt, output=given.output, tokens=choice.tokens, chat=choice.chat
            )
            yield _attributed(opened, passage, choice, number, destroyed)
            progress.advance()


def _attributed(
    opened: OpenedModel, passage: Passage, choice: AttributionChoice, number: int, destroyed: LoadedModel | None
) -> AttributedPassage:
    outputs = Outputs(opened.loaded, passage, memory=choice.memory)
    names = (*choice.methods, *(name for name in DUMB if choice.tried and name not in choice.methods))
    matrices = {name: METHODS[name].compute(outputs, choice.settings) for name in names}
    latents = None
    if opened.sae is not None:
        there = replace(outputs, place=opened.sae.hook)
        latents = attribute_to_latents(there, opened.sae.sae, choice.settings.steps)
    tried = dict(matrices)
    if destroyed is not None:
        other = replace(outputs, loaded=destroyed)
        for name in choice.methods:
            if name in _PERMUTED_OF:
                tried[f"{name}{PERMUTED}"] = METHODS[name].compute(other, choice.settings)
    rows = faithfulness_rows(outputs, tried, choice.settings, number, choice.tried) if choice.tried else []
    said = tuple(float(score) for score in outputs.scores)
    return AttributedPassage(passage, said, matrices, latents, rows)


def _destroyed(loaded: LoadedModel, seed: int) -> LoadedModel:
    layers = int(loaded.model.config.get_text_config().num_hidden_layers)
    subject = Subject(loaded, [f"layers.{layers - 1}.resid"], None)
    return scramble(subject, ScrambledSubject(scheme="permuted", seed=seed)).loaded


def check_methods(names: Sequence[str]) -> None:
    """BadInput for an unknown method."""
    for name in names:
        if name not in METHODS:
            raise BadInput(f"no method '{name}'", f"take some of {', '.join(METHODS)}")


def costs(opened: OpenedModel, prompts: Sequence[GivenPrompt], choice: AttributionChoice) -> PassCosts:
    """Counted on the prompts themselves: outputs that are not given are taken to be as long as they may be."""
    check_methods(choice.methods)
    forward = backward = positions = 0
    longest: Passage | None = None
    for given in prompts:
        output = given.output
        passage = passage_of(opened.loaded, given.prompt, output=output, tokens=1, chat=choice.chat)
        if output is None:
            filler = passage.ids[-1:] * choice.tokens
            ids = (*passage.ids[: passage.prompt], *filler)
            passage = Passage(ids, passage.prompt, ("",) * len(ids), passage.fixed)
            forward += choice.tokens
        parts, targets, settings = passage.parts, passage.targets, choice.settings
        for name in choice.methods:
            times = 2 if choice.permuted and name in _PERMUTED_OF else 1
            forward += times * METHODS[name].forward(parts, targets, settings)
            backward += times * METHODS[name].backward(parts, targets, settings)
        if opened.sae is not None:
            forward += METHODS[INTEGRATED].forward(parts, targets, settings)
            backward += METHODS[INTEGRATED].backward(parts, targets, settings)
        tried = len(choice.methods) + len([name for name in DUMB if name not in choice.methods])
        tried += sum(choice.permuted and name in _PERMUTED_OF for name in choice.methods)
        forward += min(choice.tried, targets) * tried * (1 + 2 * (len(SHARES) + CURVE + 1))
        if len(passage.ids) - 1 > positions:
            positions, longest = len(passage.ids) - 1, passage
    if longest is None:
        raise BadInput("there is no prompt", "give at least one")
    outputs = Outputs(opened.loaded, longest, memory=choice.memory)
    return PassCosts(forward, backward, outputs.bytes_per_row, outputs.rows, positions)
