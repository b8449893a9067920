"""How a training is told: findings as values, put in words once, laid out as Markdown and as one HTML page."""
