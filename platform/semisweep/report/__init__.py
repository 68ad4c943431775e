"""The report as one HTML page, its figures, and event files for TensorBoard."""
