"""Names that modules had when the shared cases were written, for their scripts alone: PYTHONPATH=tests/former."""

import importlib
import importlib.abc
import importlib.util
import sys

FORMER = {
    "backtest.cli": "backtest.run.cli",
    "backtest.summary": "backtest.run.summary",
    "features.inputs": "features.rows.users",
    "ingest.binance_protocol": "ingest.venues.binance.protocol",
    "ingest.bybit_protocol": "ingest.venues.bybit.protocol",
    "ingest.candles": "ingest.files.candles",
    "ingest.dial": "ingest.live.dial",
    "ingest.streams": "ingest.wire.streams",
    "utils.kpi_math": "utils.figures.arithmetic",
    "utils.kpi_summary": "utils.summary",
}


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers a former name with the module that has its contents now."""

    def find_spec(self, name, *_):
        return importlib.util.spec_from_loader(name, self) if name in FORMER else None

    def create_module(self, spec):
        module = importlib.import_module(FORMER[spec.name])
        if spec.name == "utils.kpi_math":
            module.DAY_NS = module.NS_PER_DAY
        return module

    def exec_module(self, module):
        pass


sys.meta_path.insert(0, Finder())
