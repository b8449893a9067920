"""The settings: what there is to set, under which key, and where values come from."""
