"""The experiments behind `backtest.claims`: their data, their statistics, and the page of what was found."""
