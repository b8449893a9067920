"""Trainings that nobody asked for: when one is due, who does it, what became of it, and its process."""
