"""Where checkpoints are looked for: folders and files of the local disk, and repositories of the Hugging Face hub."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

from sae.errors import SaeError
from sae.formats.interface import Location

_HUB_ID = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(?:/(?P<path>[^@]+))?(?:@(?P<revision>.+))?")


@dataclass(frozen=True)
class OnDisk(Location):
    """A folder, or a file where a layout has one file per checkpoint."""

    path: Path

    @property
    def name(self) -> str:
        """See Location."""
        return self.path.absolute().as_posix()

    def file(self, path: str = "") -> Path | None:
        """See Location."""
        found = self.path.absolute() / path
        return found if found.is_file() else None


@dataclass
class OnHub(Location):
    """A folder or a file of a repository. What is asked for is downloaded into the hub client's cache.

    Raises SaeError, when a file is asked for, if the hub refuses; what it doesn't answer is only noted, since another
    file may be in the cache.
    """

    repo: str
    path: str = ""
    revision: str | None = None
    unreachable: LocalEntryNotFoundError | None = field(default=None, init=False)
    """Why the hub did not answer, if it didn't."""

    @property
    def name(self) -> str:
        """See Location."""
        return posixpath.join(self.repo, self.path) if self.path else self.repo

    def file(self, path: str = "") -> Path | None:
        """See Location."""
        wanted = posixpath.normpath(posixpath.join(self.path, path))
        if wanted == "." or wanted.startswith(".."):
            return None
        shown = f"{self.name} is no local folder, and the hub"
        try:
            return Path(hf_hub_download(self.repo, wanted, revision=self.revision))
        except LocalEntryNotFoundError as error:
            self.unreachable = error
        except EntryNotFoundError:
            return None
        except HFValidationError as error:
            raise SaeError(f"{shown} takes no such name ({error})", "write it as owner/name/folder") from error
        except OSError as error:  # the hub client's own HTTP errors are among these
            raise SaeError(f"{shown} refuses {self.repo} ({error})", "check its name and your access to it") from error
        return None


def location_of(where: str | Path) -> OnDisk | OnHub:
    """The local folder or file of this name, else what it names on the hub: `owner/name/path@revision`."""
    path = Path(where)
    if path.exists() or (path.parent.is_dir() and path.name.isdigit() and len(path.parts) > 1):
        return OnDisk(path)
    match = _HUB_ID.fullmatch(where) if isinstance(where, str) else None
    if match is None:
        raise SaeError(f"no folder {where}", "give the folder of a checkpoint, or a hub id such as owner/name/folder")
    return OnHub(match["repo"], match["path"] or "", match["revision"])
