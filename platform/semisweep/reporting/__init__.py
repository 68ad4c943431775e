"""A report on what a store holds: one HTML page that opens anywhere, without a network."""
