"""The verb that says which tokens, and which features, made a model write what it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autointerp.cli.help import add_verb
from autointerp.errors import BadInput
from autointerp.progress import say

if TYPE_CHECKING:  # help is shown without it
    from autointerp.attribution.attributing import AttributionChoice
    from autointerp.attribution.opening import OpenedModel
    from autointerp.attribution.prompts import GivenPrompt

OUT = Path("results/attribution")
ALL = "all"


_Model = Annotated[
    str | None, typer.Argument(metavar="MODEL", help="`builtin`, a folder, a GGUF file, a hub id, or a run folder")
]
_Prompt = Annotated[str | None, typer.Argument(metavar="PROMPT", help="a text")]
_Prompts = Annotated[
    Path | None, typer.Option("--prompts", metavar="FILE", help="a prompt per line, or .jsonl with prompt and output")
]
_FromCorpus = Annotated[
    int | None, typer.Option("--from-corpus", min=1, help="so many beginnings of the built-in text as prompts")
]
_Output = Annotated[
    str | None, typer.Option("--output", help="attribute this text, not what the model writes by itself")
]
_Tokens = Annotated[int, typer.Option("--tokens", min=1, help="the model writes at most")]
_Method = Annotated[list[str] | None, typer.Option("--method", help="may be given several times; all: every one")]
_Baseline = Annotated[str, typer.Option("--baseline", help="in a token's place: mean, zero or end")]
_Steps = Annotated[int, typer.Option("--steps", min=24, help="points of integrated gradients, at most")]
_Draws = Annotated[int, typer.Option("--draws", min=8, help="of LIME")]
_Sae = Annotated[
    str | None, typer.Option("--sae", help="attribute to its latents too: a checkpoint, or an SAE of the run")
]
_Hook = Annotated[str | None, typer.Option("--hook", help="where that checkpoint reads, if it does not say it")]
_Chat = Annotated[str, typer.Option("--chat", help="through the model's chat template: auto, yes or no")]
_Tried = Annotated[int, typer.Option("--tried", min=0, help="outputs per prompt whose faithfulness is measured")]
_Permuted = Annotated[
    bool, typer.Option("--permuted", help="also what gradients of a model with permuted weights would get")
]
_Seed = Annotated[int, typer.Option("--seed", min=0, help="of LIME, random, ties and the tried outputs")]
_Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda")]
_Dtype = Annotated[str, typer.Option("--dtype", help="float32, bfloat16 or float16")]
_Memory = Annotated[float, typer.Option("--memory", min=0.01, help="GiB of one batch")]
_Out = Annotated[Path, typer.Option("--out", help="folder of tables, page and pictures")]
_Estimate = Annotated[bool, typer.Option("--estimate", help="say passes and memory, and stop")]
_Redraw = Annotated[bool, typer.Option("--redraw", help="draw anew what --out holds: no model is needed")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    add_verb(app, attribute, "which tokens and features made a model write this")


def attribute(
    model: _Model = None,
    prompt: _Prompt = None,
    prompts: _Prompts = None,
    from_corpus: _FromCorpus = None,
    output: _Output = None,
    tokens: _Tokens = 16,
    method: _Method = None,
    baseline: _Baseline = "end",
    steps: _Steps = 192,
    draws: _Draws = 512,
    sae: _Sae = None,
    hook: _Hook = None,
    chat: _Chat = "auto",
    tried: _Tried = 4,
    permuted: _Permuted = False,
    seed: _Seed = 0,
    device: _Device = "auto",
    dtype: _Dtype = "float32",
    memory: _Memory = 2.0,
    out: _Out = OUT,
    estimate: _Estimate = False,
    redraw: _Redraw = False,
) -> None:
    """Which tokens, and which features of an SAE, made a model write each token of its output: table, page, pictures.

    Beside it stands how faithful that is, against dumb attributions; with several prompts, with intervals
    """
    if redraw:
        from autointerp.attribution.drawn import draw

        _said(draw(out))
        return
    if model is None:
        raise BadInput("no model", "name one, for example builtin")
    from autointerp.attribution.attributing import AttributionChoice
    from autointerp.attribution.attributors import AttributionSettings
    from autointerp.attribution.opening import open_model

    choice = AttributionChoice(
        methods=_methods(method),
        settings=AttributionSettings(_one_of("--baseline", baseline, "mean", "zero", "end"), steps, draws, seed),
        tokens=tokens, chat=_one_of("--chat", chat, "auto", "yes", "no"), tried=tried, permuted=permuted, memory=memory,
    )  # fmt: skip
    opened = open_model(model, sae=sae, hook=hook, device=device, dtype=dtype)
    _attribute(opened, _prompts(opened, prompt, prompts, from_corpus, output, seed), choice, out, estimate)


def _attribute(
    opened: "OpenedModel", given: list["GivenPrompt"], choice: "AttributionChoice", out: Path, estimate: bool
) -> None:
    from autointerp.attribution.attributing import costs
    from autointerp.attribution.drawn import draw
    from autointerp.attribution.saved import attribute_into

    say(costs(opened, given, choice).line)
    if estimate:
        return
    attribute_into(out, opened, given, choice)
    _said(draw(out))
    typer.echo((out / "report.md").read_text("utf8"))


def _methods(given: list[str] | None) -> tuple[str, ...]:
    from autointerp.attribution.attributors import DUMB, INTEGRATED, METHODS

    if given == [ALL]:
        return tuple(name for name in METHODS if name not in DUMB)
    return tuple(dict.fromkeys(given or [INTEGRATED]))


def _one_of(option: str, given: str, *known: str) -> Any:
    if given not in known:
        raise BadInput(f"{option} {given}", f"take one of {', '.join(known)}")
    return given


def _prompts(
    opened: "OpenedModel", prompt: str | None, file: Path | None, corpus: int | None, output: str | None, seed: int
) -> list["GivenPrompt"]:
    from autointerp.attribution.prompts import GivenPrompt, prompts_of_corpus, read_prompts

    if sum(each is not None for each in (prompt, file, corpus)) != 1:
        raise BadInput("one source of prompts is needed", "give a PROMPT, --prompts FILE or --from-corpus N")
    if output is not None and prompt is None:
        raise BadInput("--output without a PROMPT", 'in a file of prompts write {"prompt": "...", "output": "..."}')
    if file is not None:
        return read_prompts(file)
    if corpus is not None:
        return prompts_of_corpus(opened.loaded, corpus, seed)
    return [GivenPrompt(str(prompt), output)]


def _said(written: list[Path]) -> None:
    typer.echo(f"page        {written[0]}")
    typer.echo(f"report      {written[1]}")
    if pictures := [path for path in written[2:] if path.suffix == ".png"]:
        typer.echo(f"pictures    {pictures[0].parent}, {len(pictures)}")
