"""A run over many operations: verify, campaign, baseline."""
