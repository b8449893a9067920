"""What is measured over a whole recording and is no fold."""
