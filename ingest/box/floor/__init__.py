"""What is traded in the box, and how its time passes."""
