"""What is refused before a run, and whether arms differ in their factor alone."""
