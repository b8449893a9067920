"""What a trading record says in numbers: formulas over arrays, without files."""
