"""What searches will still train, of which only the number is known: their own, and tuned rows'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from semisweep.checks.validation import sample_trials
from semisweep.search.earlier_trials import stored_search
from semisweep.search.tuning_choice import searches_of
from semisweep.store.resolved_search import ResolvedSearch
from semisweep.store.resolved_study import Place, ResolvedStudy, Units
from semisweep.store.resolved_tuning import Tuning
from semisweep.store.store import Store
from semisweep.study.declaration import Search, Study
from semisweep.study.plan import plan
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, cell_units, replicates
from semisweep.study.smoke import adapted
from semisweep.study.tuned_rows import tuned_cells
from semisweep.training.trial import Trial


@dataclass(frozen=True, kw_only=True)
class SearchForecast:
    """What a search has so far, how many trials it will still suggest, and trials that cost alike.

    `trials` stand for those and for what it has begun.
    """

    stored: ResolvedSearch | None
    left: int
    trials: tuple[Trial, ...]


def search_forecast(
    search: Search, wanted: int, request: Request, splits: Splits, store: Store | None
) -> SearchForecast:
    """Return what a search that is to have `wanted` suggestions will still train."""
    stored = stored_search(search, request, splits, store)
    left = max(0, wanted - (len(stored.own) if stored else 0))
    if left or not (stored and stored.confirmations):
        left += search.confirm * search.confirm_seeds  # of the best, on new seeds
    begun = len(plan([stored], store).missing) if stored else 0
    (sample,) = sample_trials(search, request)
    return SearchForecast(
        stored=stored, left=left, trials=(adapted(sample, request),) * (left + begun)
    )


def tuning_forecasts(
    study: Study,
    request: Request,
    splits: Splits,
    store: Store | None,
    table: ResolvedStudy | None,
) -> list[tuple[Search, SearchForecast]]:
    """Return the searches of a study's tuned rows; `table` is what the store has of the study."""
    return [
        (search, search_forecast(search, search.trials or 0, request, splits, store))
        for search in searches_of(study, request, table).values()
    ]


def following_trials(
    study: Study, request: Request, tuning: Mapping[Place, Tuning], units: Mapping[Place, Units]
) -> Iterator[Trial]:
    """Yield the replicates that follow when searches have chosen, at the values of their rows."""
    scale, changes = request.scale, request.changes
    for row, column in tuned_cells(study, scale):
        place = (row.name, column.name)
        if tuning[place].params is None:
            own = units.get(place) or cell_units(
                study, scale, (row, column), changes, request.seeds, request.draws
            )
            for _, trial in replicates(study, scale, row, column, changes, units=own):
                yield adapted(trial, request)
