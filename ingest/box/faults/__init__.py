"""What goes wrong in the box on purpose: which faults there are, and what they do to messages and answers."""
