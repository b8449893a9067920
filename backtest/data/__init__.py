"""The history a run turns its handle on."""
