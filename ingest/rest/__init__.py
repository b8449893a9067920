"""Questions by REST: clients, retries, checks of what is answered."""
