"""How searches choose: Optuna's samplers, halving, how trials ended, exports."""
