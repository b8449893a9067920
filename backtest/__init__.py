"""The replay driver and what stands on it: simulation, sweeps, the summary.

May import everything below it. Nothing here knows a rule of the market; it only turns the handle.
"""
