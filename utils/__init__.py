"""The ground floor: nouns, row layouts, ports, errors, settings, journal and KPIs.

Everything else may import from here; this package imports nothing of ours.
"""
