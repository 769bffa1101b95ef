"""Targets, arguments and files that mean harm or are broken: every trial ends in a sentence.

A trial is a function that takes an empty folder and asserts what must hold. `python -m
tests.hostile` runs all and prints how many of each kind were survived.
"""
