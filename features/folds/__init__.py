"""The definitions of the features: folds over rows, by what they read."""
