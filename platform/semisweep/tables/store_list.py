"""What a store has, for a glance: its studies with where they came from, and one trial."""

from __future__ import annotations

import time
from collections.abc import Iterator

from semisweep.core.faults import last_lines
from semisweep.core.safe_text import one_line
from semisweep.store.store import Store
from semisweep.store.study_choice import told
from semisweep.store.study_origin import study_origins
from semisweep.study.plan import trial_names


def list_lines(store: Store) -> Iterator[str]:
    """Yield a line a study: name, scale, how many trials have finished, title and origin."""
    origins, studies = study_origins(store.root), store.study_files.all()
    finished = store.ends(dict.fromkeys(key for own in studies for key in own.study.keys)).finished
    if not studies:
        yield "this store has no studies; semisweep run STUDY makes the first"
    for own in studies:
        name = " ".join(filter(None, [own.place.name, own.place.scale, told(own)]))
        count = f"{len(finished.intersection(own.study.keys))} of {len(set(own.study.keys))} trials"
        origin = origins.get(own.place.name)
        where = f"  [{one_line(origin)}]" if origin else ""
        yield f"{one_line(name):32} {count:18} {one_line(own.study.title)}{where}"


def show_lines(store: Store, key: str) -> Iterator[str]:
    """Yield what a store says of one trial: where it stands, in which cells, and its numbers."""
    folder = store.trial(key)
    result, failure, described = folder.result(), folder.failure(), folder.find_description()
    state = "finished" if result else "failed" if failure else "unfinished"
    yield f"key       {key}"
    yield f"state     {'in training' if folder.in_training else state}, {folder.attempts} attempts"
    for own in store.study_files.all():
        if key in own.study.keys:
            yield f"study     {one_line(str(own.place))}: {one_line(trial_names(own.study)[key])}"
    trial = described.trial if described else {}
    if trial:
        yield f"method    {one_line(str(trial.get('method')))}"
        yield f"seed      {trial.get('seed')}"
    if result is not None:
        for name in sorted(name for name in result if name.endswith(".miou")):
            yield f"{name:24} {100 * result.needed(name):.2f} %"
        if result.seconds is not None:
            yield f"took      {result.seconds:.0f} s on {result.text('run.device_name') or 'a CPU'}"
        if result.finished_at is not None:
            ended = time.strftime("%Y-%m-%d %H:%M", time.localtime(result.finished_at))
            yield f"ended     {ended}"
    if failure is not None:
        yield f"error     {one_line(' | '.join(last_lines(failure.error)))}"
    yield f"folder    {folder.path}"
