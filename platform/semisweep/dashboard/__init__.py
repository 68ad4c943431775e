"""The dashboard: a local page of a store that fills in while sweeps run elsewhere; read-only."""
