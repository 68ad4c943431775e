"""What the columns of `load` and `history` mean: the dictionary of a store's data."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from semisweep.core.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

# The first that fits a column counts; a star stands for any text.
MEANINGS = {
    "store": "of load([a, b]): the store that has the trial",
    "key": "digest of all that determines a trial's weights; its name everywhere",
    "status": "finished, failed, or of a search: stopped",
    "method": "import path of the method's class",
    "config.*": "setting of the method; `semisweep methods NAME` says where its value comes from",
    "data.name": "data set",
    "data.family": "whose lists of labelled images, or how they are drawn",
    "data.labelled": "how many training images keep their labels; empty: all",
    "data.draw": "which draw of the labelled images, from 0",
    "data.labelled_digest": "digest of the list of labelled images",
    "data.unlabelled_digest": "digest of the list of unlabelled images",
    "data.seen_digest": "digest of the files that training and validation saw",
    "data.test_digest": "digest of the files of the test part",
    "data.*": "setting of the data: see DataConfig",
    "training.*": "setting of the training: see TrainingConfig",
    "seed": "of weights, order of images and augmentation",
    "total_steps": "optimizer steps of the whole training",
    "parameters": "numbers that the method trains or averages",
    "last.*.miou": "mean IoU of the part (val or test), a fraction, with the last weights",
    "best.*.miou": "mean IoU of the part, a fraction, with the weights that were best on val",
    "*.pixel_accuracy": "share of pixels of the part whose class is right",
    "last.*.iou.*": "IoU of one class, a fraction, with the last weights",
    "best.*.iou.*": "IoU of one class, a fraction, with the weights that were best on val",
    "best.step": "step after which the weights were best on val",
    "budget.*": "of a stopped trial: steps that it had, and of how many",
    "stopped.*": "of a stopped trial: the rung that stopped it, and why",
    "source.version": "version of semisweep that trained it",
    "source.digest": "digest of semisweep's whole source",
    "source.code": "digest of the code that can change the trial's numbers",
    "source.method_*": "git commit of the method's own folder, and whether it had changes",
    "source.*": "git commit of semisweep's folder, and whether it had changes",
    "library.*": "version of a library, or of Python",
    "error": "of a failed trial: the traceback",
    "run.workers": "processes that trained it",
    "run.device": "cpu or cuda",
    "run.device_name": "model of the GPU",
    "run.driver": "version of the GPU's driver",
    "run.peak_memory_bytes": "most memory that its tensors took",
    "run.peak_reserved_bytes": "most GPU memory that was reserved for it",
    "run.compiled": "whether its networks were compiled",
    "run.host": "machine",
    "run.platform": "operating system",
    "run.attempts": "how often it was started in the run that finished it",
    "run.seconds": "time of its training, all attempts together",
    "run.device_seconds": "run.seconds times run.workers",
    "run.finished_at": "when it finished, in seconds since 1970",
    "run.final_attempt_seconds": "time of its last attempt, from start to end of training",
    "run.scored_from": "trial whose weights were scored again, as test images alone had changed",
    "run.*": "fact of this one repetition, which is in no key",
    "step": "of history: optimizer steps that were done",
    "epoch": "of history: passes over the images that were done",
    "val.miou": "of history: mean IoU on the val part, a fraction",
    "val.*": "of history: other scores on the val part, as fractions",
}
OTHER = "measurement of the method, such as a loss term"


def meaning(column: str) -> str:
    """Return what a column means; what no rule names is a measurement of a method."""
    return next((text for rule, text in MEANINGS.items() if fnmatchcase(column, rule)), OTHER)


def columns(names: Iterable[str] | None = None) -> pd.DataFrame:
    """Return what columns of `load` and `history` mean: a row for each column or kind of column.

    `names`: a frame of `load` or `history`, or a list of columns; without, all kinds there are.
    """
    import pandas as pd

    if isinstance(names, str):
        raise unknown("list of columns", names, ("columns()", "columns(load(store))"))
    found = MEANINGS if names is None else {str(name): meaning(str(name)) for name in names}
    return pd.DataFrame({"column": list(found), "meaning": list(found.values())})
