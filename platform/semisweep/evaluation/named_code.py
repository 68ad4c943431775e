"""Whether the method of a stored trial may run: where its code is named, or the store trusted."""

from __future__ import annotations

from collections.abc import Iterator

from semisweep.core import own_code
from semisweep.core.errors import ConfigError
from semisweep.core.safe_text import one_line
from semisweep.store.study_files import StudyFiles
from semisweep.store.study_origin import study_origins
from semisweep.store.trial_folder import TrialFolder


def check_may_run(folder: TrialFolder, method: str) -> None:
    """Raise `ConfigError` where a trial's method is code that nobody named; tell where it was.

    Where the store is trusted, the files that it remembers go on the path of modules.
    """
    module = method.partition(":")[0]
    if own_code.may_run(module):
        return
    places = list(_places(folder))
    if own_code.trusts_store():
        for place in places:
            own_code.register(place)
        return
    hint = f" (its study was run from {', '.join(map(one_line, places))})" if places else ""
    named = one_line(places[0]) if places else "FILE.py or a module"
    raise ConfigError(
        "the code of a trial's method must be named on the command line, got "
        f"method={one_line(method)}, key={folder.key}{hint}; add --code {named}, or --trust to run "
        "what the store names"
    )


def _places(folder: TrialFolder) -> Iterator[str]:
    """Yield the files and modules of studies that want a trial, as the store remembers them."""
    root = folder.path.parent.parent
    origins = study_origins(root)
    if not origins:
        return
    found = [own for own in StudyFiles(root).all() if folder.key in own.study.keys]
    for name in dict.fromkeys(own.study.name for own in found):
        if name in origins:
            yield origins[name].rpartition(":")[0]
