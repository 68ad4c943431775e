"""Ablation studies for semi-supervised semantic segmentation whose numbers can be believed.

These are the names that methods, studies and questions to a store are written with. Each is looked
up when it is first used, so that importing semisweep imports neither torch nor Ray nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semisweep.core.config import config, setting
    from semisweep.data.augmentation import AugmentationConfig
    from semisweep.data.splits import DataConfig
    from semisweep.evaluation.rescoring import evaluations
    from semisweep.networks.network import NetworkConfig
    from semisweep.running.script import run
    from semisweep.store.column_meanings import columns
    from semisweep.store.query import export, history, load
    from semisweep.store.resolved_search import Halving, Objective
    from semisweep.store.store import Store
    from semisweep.study import designs
    from semisweep.study.ablation import Ablation
    from semisweep.study.declaration import Column, Row, Search, Study
    from semisweep.study.scales import Option, Preset
    from semisweep.study.search_space import Bundle, When
    from semisweep.tables.results import Results, table
    from semisweep.tables.training_curves import curves
    from semisweep.training import functional, weight_averaging
    from semisweep.training.method import (
        Batch,
        Method,
        MethodConfig,
        Progress,
        PseudoLabel,
        Rate,
        Update,
    )
    from semisweep.training.switches import Switch
    from semisweep.training.trial import OptimizerConfig, TrainingConfig, Trial

    __version__: str

_MODULES = {
    "Ablation": "study.ablation",
    "AugmentationConfig": "data.augmentation",
    "Batch": "training.method",
    "Bundle": "study.search_space",
    "Column": "study.declaration",
    "DataConfig": "data.splits",
    "Halving": "store.resolved_search",
    "Method": "training.method",
    "MethodConfig": "training.method",
    "NetworkConfig": "networks.network",
    "Objective": "store.resolved_search",
    "OptimizerConfig": "training.trial",
    "Option": "study.scales",
    "Preset": "study.scales",
    "Progress": "training.method",
    "PseudoLabel": "training.method",
    "Rate": "training.method",
    "Results": "tables.results",
    "Row": "study.declaration",
    "Search": "study.declaration",
    "Store": "store.store",
    "Study": "study.declaration",
    "Switch": "training.switches",
    "TrainingConfig": "training.trial",
    "Trial": "training.trial",
    "Update": "training.method",
    "When": "study.search_space",
    "columns": "store.column_meanings",
    "config": "core.config",
    "curves": "tables.training_curves",
    "designs": "study",
    "evaluations": "evaluation.rescoring",
    "export": "store.query",
    "functional": "training",
    "history": "store.query",
    "load": "store.query",
    "run": "running.script",
    "setting": "core.config",
    "table": "tables.results",
    "weight_averaging": "training",
}

__all__ = [
    "Ablation",
    "AugmentationConfig",
    "Batch",
    "Bundle",
    "Column",
    "DataConfig",
    "Halving",
    "Method",
    "MethodConfig",
    "NetworkConfig",
    "Objective",
    "OptimizerConfig",
    "Option",
    "Preset",
    "Progress",
    "PseudoLabel",
    "Rate",
    "Results",
    "Row",
    "Search",
    "Store",
    "Study",
    "Switch",
    "TrainingConfig",
    "Trial",
    "Update",
    "When",
    "__version__",
    "columns",
    "config",
    "curves",
    "designs",
    "evaluations",
    "export",
    "functional",
    "history",
    "load",
    "run",
    "setting",
    "table",
    "weight_averaging",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("semisweep")
    if name in _MODULES:
        place = f"semisweep.{_MODULES[name]}"
        if place in ("semisweep.training", "semisweep.study"):  # a module of losses, say
            return import_module(f"{place}.{name}")
        return getattr(import_module(place), name)
    raise AttributeError(f"module 'semisweep' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
