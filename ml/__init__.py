"""Inference and mathematics: from a feature vector to a signal row.

May import `features` and `utils`; its door reads what users hold, through `ingest.files`. Jobs that produce artifacts
live in `model`.
"""
