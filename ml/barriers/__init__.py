"""What becomes of a trade between its barriers."""
