"""Raw messages on disk: recorded, checked, played back."""
