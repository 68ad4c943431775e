"""Data sets, their splits, augmentation and batches; only `loader` needs torch."""
