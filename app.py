"""The signal over HTTP: `uvicorn app:app --port 8000`, then `curl 'http://localhost:8000/signal/BTCUSDT?tf=5m'`."""

from __future__ import annotations

from fastapi import FastAPI

app = FastAPI(title="Hybrid Scalper")


@app.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}
