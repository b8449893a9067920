"""Views of the journal. May import `utils` and nothing else of ours."""
