"""Studies of the engine's results: evaluation against reference labels, and cohorts of patients."""
