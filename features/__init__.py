"""Folds over market rows: one definition of every feature, for history and for the next row alike.

May import `utils`. No network, no clock, no dice.
"""
