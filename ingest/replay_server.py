"""An exchange in a box, on loopback: Binance USD-M and Bybit v5 linear, CryptoPanic and CoinGecko, one market.

    python -m ingest.replay_server --synthetic --symbols BTCUSDT,ETHUSDT

prints its addresses, and the environment lines that point the product at it. In a test:

    async with ReplayServer(symbols=("BTCUSDT",), history_hours=2, seed=7) as box:   # blocking: ReplayServer.thread()
        box.http, box.ws            # "http://127.0.0.1:PORT", "ws://127.0.0.1:PORT"
        box.endpoints               # utils.settings.tree.EndpointSettings with every address here
        box.freeze()                # time stands still, everything made so far is sent
        bids, asks = box.truth("BTCUSDT")   # ((price, qty), ...) best first: what every view shows now
        box.candles("BTCUSDT", "1m")        # all candles, the last is being formed
        box.step(1.5); box.resume()
        box.inject(Fault("gap", match="orderbook.50.BTCUSDT", after=20))    # kinds: FAULT_KINDS, or --list-faults
        box.requests, box.frames, box.connections, box.unknown      # what the clients did
        box.struck                  # (kind, subject) of every fault so far

With `tape=` it plays a recording: topics that the tape holds are sent as they were recorded, others are made of its
book and trades; time begins with the first subscription. `?clock=tape` on a stream's address puts `{"clock": <ns>}`
before each message, the receive time to stamp it with. Placeholder keys of the news services: `ingest.box.news`.

All methods may be called from any thread. What is recorded grows with use; it is meant for tests.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ingest.box.faults.desk import FAULT_KINDS, REST_FAULTS, WS_FAULTS, Fault
from ingest.box.served.limits import Limits
from ingest.box.served.server import ReplayServer

__all__ = ["FAULT_KINDS", "REST_FAULTS", "WS_FAULTS", "Fault", "Limits", "ReplayServer", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 done, 1 ours, 2 yours, 130 Ctrl-C)."""
    from ingest.box.cli import main

    return main(arguments)


if __name__ == "__main__":
    sys.exit(main())
