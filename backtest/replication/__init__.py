"""Published regularities, looked for on recordings."""
