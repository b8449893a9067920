"""What a feature reads: rows of bars, of the book, of prints and of the tape, made and checked once."""
