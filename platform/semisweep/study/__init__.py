"""What studies declare, what a user asks of them, and the trials that come of it."""
