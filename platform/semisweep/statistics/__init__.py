"""Intervals, verdicts, levels and bootstraps: numbers in, numbers out."""
