"""How much, and whether at all: stops, sizing, limits and the ledger.

May import `features` and `utils`. Every rule answers with a value: a refusal names its rule, the value and the limit.
"""
