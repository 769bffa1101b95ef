"""Targets, arguments and files that mean harm or are broken: every attempt ends in a sentence.

An attempt is a function that takes an empty folder and asserts what must hold. `python -m
tests.hostile` runs all and prints how many of each kind were survived.
"""
