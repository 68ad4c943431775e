"""Every private name of Ray that semisweep uses: here alone, and checked while a sweep starts.

Ray may rename them in any release. A comment beside each says in which versions it was seen; where
one is missing, a sweep ends with one line that says which. Nothing of Ray is imported before a name
is used: `ray` itself takes half a second, and Ray Train several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from semisweep.core.errors import ClusterError

if TYPE_CHECKING:
    from ray.train.v2._internal.constants import get_env_vars_to_propagate
    from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError
    from ray.train.v2._internal.execution.callback import WorkerGroupCallback
    from ray.train.v2._internal.execution.controller import TrainController
    from ray.train.v2._internal.execution.failure_handling import FailureDecision, FailurePolicy
    from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
    from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

TESTED = ">=2.60,<2.61"  # as in pyproject.toml

# What this process changes or asks in Ray itself.
LOOPBACK = "ray._private.ray_constants:ENABLE_RAY_CLUSTER"  # seen in 2.60.0
SETTINGS = "ray._raylet:Config.initialize"  # seen in 2.60.0
TOKENS = "ray._raylet:AuthenticationTokenLoader.instance"  # seen in 2.60.0
PRINTING = "ray._private.worker:print_to_stdstream"  # seen in 2.60.0
SIGTERM = "ray._private.utils:set_sigterm_handler"  # seen in 2.60.0
LAST_HEAD = "ray._private.services:find_bootstrap_address"  # seen in 2.60.0
HEADS = "ray._private.services:find_gcs_addresses.cache_clear"  # seen in 2.60.0
DRAINING = "ray._private.state:GlobalState.get_draining_nodes"  # seen in 2.60.0
NODE = "ray._private.worker:_global_node"  # seen in 2.60.0
NODE_PROCESSES = "ray._private.node:Node.live_processes"  # seen in 2.60.0
NODE_END = "ray._private.node:Node.kill_all_processes"  # seen in 2.60.0
TUNE_VARIABLES = "ray.tune.execution.class_cache:ENV_VARS_TO_PROPAGATE"  # seen in 2.60.0

# What `slot_trainer` imports from here, and where it is in Ray Train.
TRAIN = {
    "ControllerError": "ray.train.v2.api.exceptions",  # seen in 2.60.0
    "DataParallelTrainer": "ray.train.v2.api.data_parallel_trainer",  # seen in 2.60.0
    "FailureDecision": "ray.train.v2._internal.execution.failure_handling",  # seen in 2.60.0
    "FailurePolicy": "ray.train.v2._internal.execution.failure_handling",  # seen in 2.60.0
    "FixedScalingPolicy": "ray.train.v2._internal.execution.scaling_policy.fixed",  # seen in 2.60.0
    "TrainController": "ray.train.v2._internal.execution.controller",  # seen in 2.60.0
    "WorkerGroupCallback": "ray.train.v2._internal.execution.callback",  # seen in 2.60.0
    "WorkerGroupError": "ray.train.v2.api.exceptions",  # seen in 2.60.0
    "WorkerGroupStartupTimeoutError": "ray.train.v2._internal.exceptions",  # seen in 2.60.0
    "get_env_vars_to_propagate": "ray.train.v2._internal.constants",  # seen in 2.60.0
}

# What `slot_trainer` overrides or reads of these: a method by another name would not be called.
_CALLBACKS = "ray.train.v2._internal.callbacks"
_EXECUTION = "ray.train.v2._internal.execution"
_GROUP = f"{_EXECUTION}.worker_group.worker"
_DECISION = f"{_EXECUTION}.failure_handling:FailureDecision"
_SCALING = f"{_EXECUTION}.scaling_policy.fixed:FixedScalingPolicy"
_TRAINER = "ray.train.v2.api.data_parallel_trainer:DataParallelTrainer"
PARTS = (
    f"{_DECISION}.RAISE",  # seen in 2.60.0
    f"{_DECISION}.RETRY",  # seen in 2.60.0
    f"{_EXECUTION}.failure_handling:FailurePolicy.make_decision",  # seen in 2.60.0
    f"{_SCALING}._maybe_send_resource_request",  # seen in 2.60.0
    f"{_SCALING}.after_controller_start",  # seen in 2.60.0
    f"{_TRAINER}._create_default_callbacks",  # seen in 2.60.0
    f"{_TRAINER}._initialize_and_run_controller",  # seen in 2.60.0
    f"{_EXECUTION}.callback:WorkerGroupCallback.after_worker_group_start",  # seen in 2.60.0
    f"{_EXECUTION}.context:DistributedContext.world_rank",  # seen in 2.60.0
    f"{_GROUP}:ActorMetadata.node_id",  # seen in 2.60.0
    f"{_GROUP}:ActorMetadata.pid",  # seen in 2.60.0
    f"{_GROUP}:Worker.actor",  # seen in 2.60.0
    f"{_GROUP}:Worker.distributed_context",  # seen in 2.60.0
    f"{_GROUP}:Worker.metadata",  # seen in 2.60.0
    f"{_CALLBACKS}.datasets:DatasetsCallback",  # seen in 2.60.0
    f"{_CALLBACKS}.placement_group_callback:PlacementGroupCleanerCallback",  # seen in 2.60.0
    "ray.train.v2._internal.exceptions:WorkerHealthCheckFailedError",  # seen in 2.60.0
)

EVERY = (
    *(LOOPBACK, SETTINGS, TOKENS, PRINTING, SIGTERM, LAST_HEAD, HEADS, DRAINING),
    *(NODE, NODE_PROCESSES, NODE_END, TUNE_VARIABLES),
    *(f"{module}:{name}" for name, module in TRAIN.items()),
    *PARTS,
)
__all__ = [  # and what is below
    "ControllerError",
    "DataParallelTrainer",
    "FailureDecision",
    "FailurePolicy",
    "FixedScalingPolicy",
    "TrainController",
    "WorkerGroupCallback",
    "WorkerGroupError",
    "WorkerGroupStartupTimeoutError",
    "get_env_vars_to_propagate",
]


def check() -> None:
    """Raise `ClusterError` unless Ray has every private name; imports Ray Train."""
    for text in EVERY:
        _found(text)


def __getattr__(name: str) -> Any:
    """Return a name of Ray Train, imported when first asked for."""
    if name in TRAIN:
        return _found(f"{TRAIN[name]}:{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _found(text: str) -> Any:
    """Return what "module:name.name" names, None for a field of a data class."""
    return getattr(*_holder(text), None)


def _holder(text: str) -> tuple[Any, str]:
    """Return what has the last name of "module:name.name", and that name."""
    module, _, names = text.partition(":")
    *path, last = names.split(".")
    try:
        holder: Any = import_module(module)
        for name in path:
            holder = getattr(holder, name)
    except (ImportError, AttributeError):
        raise _missing(text) from None
    if not hasattr(holder, last) and last not in getattr(holder, "__dataclass_fields__", ()):
        raise _missing(text)
    return holder, last


def _missing(text: str) -> ClusterError:
    import ray

    return ClusterError(
        f"Ray must have the private names that semisweep uses, got ray={ray.__version__} without "
        f"{text}; install ray{TESTED}"
    )


def reach_loopback_only() -> None:
    """Let Ray, which has read its variables already, keep to 127.0.0.1."""
    setattr(*_holder(LOOPBACK), False)


def read_settings_again() -> None:
    """Let Ray read its environment variables, which it does once, again."""
    _found(SETTINGS)("")


def token() -> str:
    """Return the user's token, wherever Ray looks for it, or nothing."""
    return str(_found(TOKENS)().get_raw_token(ignore_auth_mode=True))


def replace_printing(print_reports: Callable[..., None]) -> Callable[..., None]:
    """Let Ray print what its processes report in a certain way; return the one that it had."""
    before: Callable[..., None] = _found(PRINTING)
    setattr(*_holder(PRINTING), print_reports)
    return before


@contextmanager
def without_sigterm_handler() -> Iterator[None]:
    """Let Ray set no handler of SIGTERM in the body."""
    before = _found(SIGTERM)
    setattr(*_holder(SIGTERM), lambda handler: None)
    try:
        yield
    finally:
        setattr(*_holder(SIGTERM), before)


def propagate_no_credentials() -> None:
    """Let Tune give its actors no variables but Ray's own.

    It would give them the keys of AWS, in a runtime environment, which Ray writes to its logs.
    """
    names = {name for name in _found(TUNE_VARIABLES) if name.startswith(("RAY_", "TUNE_"))}
    setattr(*_holder(TUNE_VARIABLES), names)


def node_processes() -> list[int]:
    """Return the process ids of the raylet and of all else that Ray has started for this one."""
    node = _found(NODE)
    return [process.pid for _, process in node.live_processes()] if node else []


@contextmanager
def killing_at_once() -> Iterator[None]:
    """Let Ray end its processes by SIGKILL in the body, and not wait for what SIGTERM does."""
    before = _found(NODE_END)

    def end(node: Any, check_alive: bool = True, wait: bool = False, **_: object) -> None:
        before(node, check_alive=check_alive, allow_graceful=False, wait=wait)

    setattr(*_holder(NODE_END), end)
    try:
        yield
    finally:
        setattr(*_holder(NODE_END), before)


def last_head() -> str | None:
    """Return host:port of the head that `ray start` started here last."""
    found: str | None = _found(LAST_HEAD)(None)
    return found


def heads_here() -> list[str]:
    """Return host:port of each head that processes of this machine belong to, sorted."""
    find, clear = _holder(HEADS)
    getattr(find, clear)()
    return sorted(find())


def draining_nodes(ray: Any) -> set[str]:
    """Return the nodes that will be taken away, as spot machines are."""
    return set(ray._private.state.state.get_draining_nodes() or {})
