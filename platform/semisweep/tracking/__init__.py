"""Runs in the screens of other tools, while they go on: loggers, and a storage of Optuna's."""
