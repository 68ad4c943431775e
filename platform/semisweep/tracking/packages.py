"""Whether what a logger needs is there: each is an extra of semisweep's own package."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec

from semisweep.core.errors import ConfigError

TITLES = {"tensorboard": "TensorBoard", "wandb": "W&B", "mlflow": "MLflow"}
OFFLINE = ("offline", "disabled", "dryrun")


def check_installed(name: str) -> None:
    """Raise `ConfigError` where the package of a logger is missing."""
    needed = [name, "sqlalchemy"] if name == "mlflow" else [name]
    for package in needed:
        spec = find_spec(package)
        if spec is None or spec.origin is None:  # a folder, such as the one that W&B makes
            raise ConfigError(
                f"{TITLES[name]} must be installed to log to it, got no package {package}; "
                f"pip install 'semisweep[{name}]'"
            )


def check_loggers(names: Sequence[str]) -> None:
    """Raise `ConfigError` for a logger whose package is missing, or that would ask for a key."""
    for name in names:
        check_installed(name)
    if "wandb" in names and os.environ.get("WANDB_MODE", "online") not in OFFLINE:
        _check_key()


def _check_key() -> None:
    import wandb

    try:
        known = wandb.login(prompt=False)
    except wandb.Error:  # no network: the run begins all the same, and the logger tries on
        return
    if not known:
        raise ConfigError(
            "W&B must know you, or log to files, got WANDB_MODE=online and no key; "
            "wandb login, or export WANDB_MODE=offline and wandb sync later"
        )
