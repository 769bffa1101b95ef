"""The second witness: every operation once more, as loops over scalars that share no helper."""
