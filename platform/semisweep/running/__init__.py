"""From studies to results: launching, sources of jobs, forecast of the cost."""
