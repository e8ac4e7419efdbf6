"""A run's units, contexts and explanations, written as Neuronpedia takes them, and a page about what was written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autointerp.artifacts import write_text
from autointerp.errors import BadInput
from autointerp.exchange.bulk import Sender, write_bulk
from autointerp.exchange.layout import FROM, LONGEST_TEXT, MOST_FEATURES, model_id, slug
from autointerp.exchange.outgoing import SentSource, read_outgoing
from autointerp.exchange.upload import Uploads, write_uploads
from autointerp.models.locate import BUILTIN
from autointerp.quoting import visible
from autointerp.records import Unscored
from autointerp.study_file import study_of

CREATOR = "clkht01d40000jv08hvalcvly"
"""The user that their own exports name: one who is there on every server that was set up with their data."""
_BUILTIN_ID = "smollm2-135m"
PAGE = "README.md"
_SCORES = (
    "Their API takes no score: `POST /api/feature/upload-batch` has no field for one, so what is uploaded that way "
    "stands there without. The bulk layout has two places, which an administrator's import fills: `scoreV2` of an "
    "explanation, by which their pages order explanations, and `notes`, which hold the score in words, with what "
    "another unit's explanation scores, chance, and the arm's mean with its interval."
)


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    model: str
    sources: Sequence[SentSource]
    left_out: Counter[str]
    uploads: Uploads

    def lines(self) -> Iterator[str]:
        """What to tell in a terminal: a line per source, what was left out or changed, and where scores are."""
        for source in self.sources:
            units, scored = source.units, sum(unit.told.value is not None for unit in source.units)
            rows = sum(len(unit.rows) for unit in units)
            texts = sum(not isinstance(unit.text, Unscored) for unit in units)
            yield (
                f"{self.model}/{source.name}: {len(units):,} units of arm '{visible(source.arm)}', {rows:,} contexts, "
                f"{texts:,} explanations, {scored:,} with a score"
            )
        for what, count in (*self.left_out.items(), *self.uploads.changed.items()):
            yield f"{count:,} x {what}"


def export(
    run: Path, out: Path | None = None, model: str | None = None, arms: Sequence[str] = (), creator: str = CREATOR
) -> Exported:
    """Write `upload/`, `bulk/` and README.md of a run folder to `out` (RUN/neuronpedia), and say what they hold.

    `model`: the model's id over there; `arms`: which go out, none: features and neurons of the subject itself;
    `creator`: the user whom the records belong to. Raises BadInput for a folder that is no run, for an id, arm or hook
    that can't be told over there, and where there is nothing to send.
    """
    if not (run / "units.parquet").is_file():
        raise BadInput(f"{run} is not a run folder (no units.parquet)", "give the folder that `autointerp run` wrote")
    study = study_of(run)
    own = _BUILTIN_ID if study.subject.model == BUILTIN else study.subject.model.removeprefix(FROM)
    own = model_id(own, model)
    sources, left_out = read_outgoing(run, arms)
    name = run.resolve().name
    sender = Sender(own, creator, f"autointerp-{slug(name)}", Path(study.corpus.source).name)
    folder = run / "neuronpedia" if out is None else out
    write_bulk(folder / "bulk", sources, sender)
    found = Exported(folder, sender.model, sources, left_out, write_uploads(folder / "upload", sources, sender.model))
    write_text(folder / PAGE, _page(found))
    return found


def _page(found: Exported) -> str:
    listed = "\n".join(f"- {line}" for line in found.lines())
    first = found.sources[0]
    return f"""# For Neuronpedia

{listed}

## Scores

{_SCORES}

## `upload/`: {len(found.uploads.files)} batches for their API

At most {MOST_FEATURES} features a file, each the body of one request, with a key of your own. The model and the set
have to be there: `POST /api/model/new`, `POST /api/source-set/new`. What is there already is skipped without a word.

```python
import json, os, pathlib, requests

for path in sorted(pathlib.Path("upload").rglob("batch-*.json")):
    answer = requests.post(
        "https://www.neuronpedia.org/api/feature/upload-batch",
        json=json.loads(path.read_text("utf8")),
        headers={{"X-Api-Key": os.environ["NEURONPEDIA_API_KEY"]}},
    )
    answer.raise_for_status()
```

## `bulk/`: their import, and ours

A folder per source: `release`, `model`, `sourceset` and `source` `.jsonl`, and `features/`, `explanations/` and
`activations/` in `.jsonl.gz`, as in their public exports. `autointerp.jsonl.gz` is not theirs: with it
`autointerp import neuronpedia bulk` gives the same units, contexts and texts, held-out ones apart, here again.

## What is told, and how

- A source is an arm: `{first.name}` is '{visible(first.arm)}', read at `{visible(first.hook)}`. Neurons of which the
  negative side was explained are in a set of their own, `...-negated`: their values are those of minus the neuron.
- Controls (random directions, noise, units at another density, scrambled subjects) stay here unless `--arm` names them.
- Top contexts have `binMin` and `binContains` -1; random ones the interval from 0 to the maximum; others the interval
  of their own maxima. `binContains` is a share of tokens, by the unit's random contexts.
- Logits, vectors and alignments are left empty: a run's tables hold no numbers of them.
- Names of methods and models are null, since theirs have to be known to their database: who wrote an explanation is in
  `notes`. In `upload/` explanations are at most {LONGEST_TEXT} characters long.
"""
