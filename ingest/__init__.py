"""The rim: where market data comes in, is checked once and becomes rows.

May import `utils`. Only this package knows file formats, exchanges and clocks; the synthetic market lives here too,
and is used only when it is named.
"""
