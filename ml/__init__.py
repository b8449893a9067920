"""Inference and mathematics: from a feature vector to a signal row.

May import `features`, `ingest` and `utils`. Jobs that produce artifacts live in `model`.
"""
