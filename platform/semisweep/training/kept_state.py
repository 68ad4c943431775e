"""What a finished trial keeps of its method: which weights, and of which networks.

By default of the networks that `predict` reads, as `Method.reported` names them. A trial whose best
and last weights of these are small keeps both; of larger ones it keeps those that its table's
metric is of: results of both are in its row anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from semisweep.core.errors import ConfigError, StoreError
from semisweep.training.method import Method

NAMES = ("last", "best")
BOTH_BYTES = 256 * 2**20  # of a trial: a table of 45 cells and 3 seeds keeps 34 GiB at most


@dataclass(frozen=True)
class Keep:
    """Which weights of a trial stay when it has finished, and whether those of every network."""

    names: tuple[str, ...] = NAMES
    whole: bool = False


def keep_for(
    method: Method, choice: str, read: Collection[str] = (), *, labels: bool = False
) -> Keep:
    """Return what a trial of a method keeps by a choice of `semisweep.study.request.KEEP`.

    `read`: the names of weights that tables are of, which decide where not both are kept; the best
    where there are none. `labels`: whether a table measures pseudo-labels, for which every network
    may be asked.
    """
    if choice == "all":
        return Keep(whole=True)
    if choice in NAMES:
        return Keep((choice,), whole=labels)
    if choice == "both" or 2 * state_bytes(kept_state(method, whole=labels)) <= BOTH_BYTES:
        return Keep(whole=labels)
    return Keep(tuple(name for name in NAMES if name in read) or ("best",), whole=labels)


def reported_names(method: Method) -> set[str]:
    """Return the names that the reported networks have in a method's state.

    Raises `ConfigError` for a reported module that is no part of the method.
    """
    modules = list(method.reported())
    wanted = {id(module) for module in modules}
    found = {
        place: id(module)
        for place, module in method.named_modules(remove_duplicate=False)
        if id(module) in wanted
    }
    _require_parts(method, [own for own in modules if id(own) not in found.values()])
    starts = tuple(f"{place}." if place else "" for place in found)
    return {name for name in method.state_dict() if name.startswith(starts)}


def kept_state(method: Method, *, whole: bool = False) -> dict[str, Tensor]:
    """Return the state of the reported networks by its names in the method's; `whole`, all of it.

    The tensors are the method's own, not copies.
    """
    state: dict[str, Tensor] = method.state_dict()
    if whole:
        return state
    names = reported_names(method)
    return {name: value for name, value in state.items() if name in names}


def load_kept(
    method: Method, state: Mapping[str, Tensor], source: object, *, whole: bool = False
) -> None:
    """Load what `kept_state` returned, or all of a method's state; other networks stay as they are.

    Raises `StoreError`, naming `source`, where a reported name is missing, with `whole` any, and
    for names or shapes that are not the method's. The method is then as it was.
    """
    own: dict[str, Tensor] = method.state_dict()
    needed = own if whole else reported_names(method)
    lacking, strange = _some(needed - state.keys()), _some(state.keys() - own.keys())
    other = [name for name in own.keys() & state.keys() if own[name].shape != state[name].shape]
    if lacking or strange or other:
        parts = {"missing": lacking, "unexpected": strange, "size mismatch": _some(other)}
        told = "; ".join(f"{what}: {names}" for what, names in parts.items() if names)
        mend = "use the version of the method that was trained"
        if whole and not strange and not other and not reported_names(method) - state.keys():
            mend = "a trial that is trained with --keep all has every network"
        raise StoreError(
            f"weights must fit the method that they are of, got {source}, "
            f"method={type(method).__name__}, {told}; {mend}"
        )
    method.load_state_dict(state, strict=False)


def state_bytes(state: Mapping[str, Tensor]) -> int:
    """Return the bytes of the tensors of a state."""
    return sum(value.numel() * value.element_size() for value in state.values())


def _require_parts(method: Method, strangers: Iterable[nn.Module]) -> None:
    names = [type(module).__name__ for module in strangers]
    if names:
        raise ConfigError(
            f"a reported network must be a part of its method, got {', '.join(names)} of "
            f"method={type(method).__name__}; make it an attribute of the method"
        )


def _some(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
