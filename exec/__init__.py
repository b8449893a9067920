"""The engine: signals and market rows in, orders, fills and closed trades out.

May import `ml` (never from the engine itself), `risk`, `features` and `utils`. Write `from exec.engine import ...`:
`import exec` would shadow a builtin.
"""
