"""What a method and a trial are, and the training of one trial in one process."""
