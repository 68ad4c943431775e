"""Data sets, reading, splits and augmentation, and the configuration of each."""
