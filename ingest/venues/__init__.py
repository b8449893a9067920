"""One folder an exchange, and what is known of each in one table."""
