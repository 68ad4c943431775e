"""Ablation studies for semi-supervised semantic segmentation whose numbers can be believed.

The public names below are looked up when they are first used, so that importing semisweep imports
neither torch nor Ray nor pandas. The decorator of configurations shares its name with its module:
`from semisweep.config import config`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semisweep.config import setting
    from semisweep.evaluation import evaluations
    from semisweep.method import Batch, Method, MethodConfig, Progress, PseudoLabel, Rate, Update
    from semisweep.network import NetworkConfig
    from semisweep.query import export, history, load
    from semisweep.store import Store
    from semisweep.study import Column, Preset, Row, Search, Study
    from semisweep.trial import Trial

    __version__: str

_MODULES = {
    "Batch": "method",
    "Column": "study",
    "Method": "method",
    "MethodConfig": "method",
    "NetworkConfig": "network",
    "Preset": "study",
    "Progress": "method",
    "PseudoLabel": "method",
    "Rate": "method",
    "Row": "study",
    "Search": "study",
    "Store": "store",
    "Study": "study",
    "Trial": "trial",
    "Update": "method",
    "curves": "training_curves",
    "evaluations": "evaluation",
    "export": "query",
    "history": "query",
    "load": "query",
    "setting": "config",
}

__all__ = [
    "Batch",
    "Column",
    "Method",
    "MethodConfig",
    "NetworkConfig",
    "Preset",
    "Progress",
    "PseudoLabel",
    "Rate",
    "Row",
    "Search",
    "Store",
    "Study",
    "Trial",
    "Update",
    "__version__",
    "curves",
    "evaluations",
    "export",
    "history",
    "load",
    "setting",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from semisweep.provenance import version

        return version("semisweep")
    if name in _MODULES:
        return getattr(import_module(f"semisweep.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'semisweep' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
