"""The oracle: precisions, error-carrying arithmetic, cases, verdicts, reports."""
