"""The verb that says which tokens, and which features, made a model write what it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autointerp.cli.help import add_verb
from autointerp.errors import BadInput
from autointerp.progress import say

if TYPE_CHECKING:  # help is shown without it
    from autointerp.attribution.opening import OpenedModel
    from autointerp.attribution.prompts import GivenPrompt

OUT = Path("results/attribution")
ALL = "all"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    add_verb(app, attribute, "which tokens and features made a model write its output, and whether that is faithful")


def attribute(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="`builtin`, a folder, a GGUF file, a hub id, or a run folder")
    ] = None,
    prompt: Annotated[str | None, typer.Argument(metavar="PROMPT", help="a text")] = None,
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", metavar="FILE", help="a prompt per line, or .jsonl with prompt and output"),
    ] = None,
    from_corpus: Annotated[
        int | None, typer.Option("--from-corpus", min=1, help="so many beginnings of the built-in text as prompts")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", help="attribute this text, not what the model writes by itself")
    ] = None,
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="the model writes at most")] = 16,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="may be given several times; all: every one")
    ] = None,
    baseline: Annotated[str, typer.Option("--baseline", help="in a token's place: mean, zero or end")] = "end",
    steps: Annotated[int, typer.Option("--steps", min=24, help="points of integrated gradients, at most")] = 192,
    draws: Annotated[int, typer.Option("--draws", min=8, help="of LIME")] = 512,
    sae: Annotated[
        str | None, typer.Option("--sae", help="attribute to its latents too: a checkpoint, or an SAE of the run")
    ] = None,
    hook: Annotated[
        str | None, typer.Option("--hook", help="where that checkpoint reads, if it does not say it")
    ] = None,
    chat: Annotated[str, typer.Option("--chat", help="through the model's chat template: auto, yes or no")] = "auto",
    tried: Annotated[int, typer.Option("--tried", min=0, help="outputs per prompt whose faithfulness is measured")] = 4,
    permuted: Annotated[
        bool, typer.Option("--permuted", help="also what gradients of a model with permuted weights would get")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of LIME, random, ties and the tried outputs")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda")] = "auto",
    dtype: Annotated[str, typer.Option("--dtype", help="float32, bfloat16 or float16")] = "float32",
    memory: Annotated[float, typer.Option("--memory", min=0.01, help="GiB of one batch")] = 2.0,
    out: Annotated[Path, typer.Option("--out", help="folder of tables, page and pictures")] = OUT,
    estimate: Annotated[bool, typer.Option("--estimate", help="say passes and memory, and stop")] = False,
    redraw: Annotated[bool, typer.Option("--redraw", help="draw anew what --out holds: no model is needed")] = False,
) -> None:
    """Which tokens, and which features of an SAE, made a model write each token of its output: table, page, pictures.

    Beside it stands how faithful that is, against dumb attributions; with several prompts, with intervals
    """
    from autointerp.attribution.drawn import draw

    if redraw:
        _said(draw(out))
        return
    if model is None:
        raise BadInput("no model", "name one, for example builtin")
    from autointerp.attribution.attributing import AttributionChoice, costs
    from autointerp.attribution.attributing import attribute as attributed
    from autointerp.attribution.methods import DUMB, METHODS, AttributionSettings
    from autointerp.attribution.opening import open_model
    from autointerp.attribution.saved import write_tables

    names = tuple(METHODS) if method == [ALL] else tuple(dict.fromkeys(method or ["integrated-gradients"]))
    choice = AttributionChoice(
        methods=tuple(name for name in names if name not in DUMB) if method == [ALL] else names,
        settings=AttributionSettings(_one_of("--baseline", baseline, "mean", "zero", "end"), steps, draws, seed),
        tokens=tokens, chat=_one_of("--chat", chat, "auto", "yes", "no"), tried=tried, permuted=permuted, memory=memory,
    )  # fmt: skip
    opened = open_model(model, sae=sae, hook=hook, device=device, dtype=dtype)
    given = _prompts(opened, prompt, prompts, from_corpus, output, seed)
    say(costs(opened, given, choice).line)
    if estimate:
        return
    passages = list(attributed(opened, given, choice))
    write_tables(out, opened, passages, choice)
    _said(draw(out))
    typer.echo((out / "report.md").read_text("utf8"))


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
