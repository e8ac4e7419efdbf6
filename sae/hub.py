"""Where a checkpoint's two files are: a local folder, or the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

from sae.errors import SaeError

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"

_HUB_ID = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(?:/(?P<folder>[^@]+))?(?:@(?P<revision>.+))?")


def locate(where: str | Path) -> tuple[Path, Path]:
    """Local paths of `cfg.json` and `sae_weights.safetensors`; what is on the hub is downloaded into its cache.

    Raises SaeError when there is no such folder, repository or file, or the hub can't be reached.
    """
    folder = Path(where)
    if folder.is_dir():
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise SaeError(f"{folder} has no {name}", "give a folder that SAELens or this package has written")
        return folder / CONFIG, folder / WEIGHTS
    match = _HUB_ID.fullmatch(str(where)) if isinstance(where, str) else None
    if match is None:
        raise SaeError(f"no folder {where}", "give a folder that holds cfg.json, or a hub id such as owner/name/folder")
    return _download(match, CONFIG), _download(match, WEIGHTS)


def _download(match: re.Match[str], name: str) -> Path:
    repository, folder, revision = match["repo"], match["folder"], match["revision"]
    shown = f"{match[0]} is no local folder, and the hub"
    try:
        return Path(hf_hub_download(repository, name, subfolder=folder, revision=revision))
    except LocalEntryNotFoundError as error:
        raise SaeError(f"{shown} can't be reached for {name}", "check the network, or give a local folder") from error
    except EntryNotFoundError as error:
        raise SaeError(
            f"{shown}'s {repository} has no {name} there", "check the folder after the repository"
        ) from error
    except HFValidationError as error:
        raise SaeError(f"{shown} takes no such name ({error})", "write it as owner/name/folder") from error
    except OSError as error:  # the hub client's own HTTP errors are among these
        raise SaeError(f"{shown} refuses {repository} ({error})", "check its name and your access to it") from error
