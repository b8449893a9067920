"""The engine: signals and market rows in, orders, fills and closed trades out.

May import `risk`, `features` and `utils`: signals come as arrays, whoever made them. Write
`from exec.engine import ...`: `import exec` would shadow a builtin.
"""
