"""How interpretable are the features of a sparse autoencoder, compared with raw neurons and with chance?

The library is the command line without the line: `autointerp.run(study)` returns a run whose tables are data frames.
"""

from autointerp.run import run
from autointerp.run.folder import Run
from autointerp.study import Study
from autointerp.study_file import load_study

__version__ = "0.1.0"

__all__ = ["Run", "Study", "__version__", "load_study", "run"]
