"""What everything stands on: errors, configurations, seeds, safe text, provenance."""
