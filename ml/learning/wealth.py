"""Evidence that does not wear out: the wealth of a gambler who bets on each trade as it comes.

Whoever looks at a bootstrap daily finds it above .95 sooner or later. The wealth of fair or losing bets is expected to
fall, so by Ville's inequality it reaches 20 at any time, however often one looks, in at most one case of 20, whatever
the dependence, as long as E[net | past] <= 0. Sources: Ville 1939; Waudby-Smith and Ramdas 2024.
"""

from __future__ import annotations

import math

import numpy as np

from utils.figures.arithmetic import Floats, Times

#: Shares of the wealth that are bet, per bps that a trade earns.
BETS = (0.001, 0.002, 0.004, 0.008, 0.016)
#: Of the largest bet that survives the worst loss, where all of `BETS` are above that.
CAUTION = 0.5
#: So much wealth is beyond all that is asked; more is not counted, so that nothing overflows.
ENDLESS = 1e150


def bets(worst_bps: float) -> Floats:
    """Those of `BETS` that the worst possible loss leaves something of: below 1 / worst; else half of that.

    Args:
        worst_bps: what a trade can lose, bps, > 0; known before the first of them.

    Raises:
        ValueError: a worst loss that is not finite and above 0.
    """
    if not 0.0 < worst_bps < math.inf:
        raise ValueError(f"expected a worst loss above 0 bps, got {worst_bps}")
    kept = [bet for bet in BETS if bet * worst_bps < 1.0]
    return np.array(kept or [CAUTION / worst_bps])


def wealth_path(net_bps: Floats, worst_bps: float) -> Floats:
    """Wealth after each trade: mean over bets of prod(1 + bet net_i), begun with 1.

    A bet whose factor is 0 or less is lost for ever. Order within the record does not change the last value.

    Args:
        net_bps: what each trade earned after costs, bps, in order along the last axis; other axes are other records.
        worst_bps: as in `bets`.

    Returns:
        As `net_bps`, >= 0; inf where it is beyond all floats.

    Raises:
        ValueError: a net that is not finite, or a worst loss that is not finite and above 0.
    """
    net = np.asarray(net_bps, np.float64)
    sizes = bets(worst_bps)
    if not np.all(np.isfinite(net)):
        raise ValueError(f"expected finite nets, trade {int(np.argmin(np.isfinite(net.ravel())))} is not")
    total = np.zeros(net.shape)
    with np.errstate(over="ignore"):
        for bet in sizes:
            factor = 1.0 + bet * net
            alive = factor > 0.0
            # a sum of logarithms neither overflows nor forgets; of a lost bet it stays at -inf
            total += np.exp(np.cumsum(np.log(factor, out=np.full(net.shape, -np.inf), where=alive), axis=-1))
    return total / len(sizes)


def wealth(net_bps: Floats, worst_bps: float) -> float:
    """Wealth after the last trade, 1 before any; arguments and errors as in `wealth_path`."""
    path = wealth_path(np.asarray(net_bps, np.float64).ravel(), worst_bps)
    return float(path[-1]) if len(path) else 1.0


def open_path(ts: Times, until: Times, net_bps: Floats, worst_bps: float) -> Floats:
    """Wealth after each end of trades that may be open at the same time, whatever ties them together.

    What is staked on a trade is settled when it is decided: a share of the wealth that would be left if all that are
    open lost the worst. So what neighbours share is not known to any stake, and the wealth stays that of fair bets. Of
    trades one after the other it is `wealth_path`.

    Formula: at ts_i s_i = bet (W - worst sum of s_j open); at until_i W += s_i net_i; mean over bets; a bet whose W
    falls to 0 is lost for ever.

    Args:
        ts: of each decision, ascending, ns.
        until: of each end, not before its decision, ns; who ends at an instant is over before who is decided at it.
        net_bps: what each earned after costs.
        worst_bps: as in `bets`.

    Raises:
        ValueError: as `wealth_path`.
    """
    if len(ts) < 2 or bool(np.all(ts[1:] >= until[:-1])):
        return wealth_path(net_bps, worst_bps)
    if not np.all(np.isfinite(net_bps)):
        raise ValueError(f"expected finite nets, trade {int(np.argmin(np.isfinite(net_bps)))} is not")
    sizes = bets(worst_bps)
    have, risked = np.ones(len(sizes)), np.zeros(len(sizes))
    staked = np.zeros((len(ts), len(sizes)))
    ending = np.argsort(until, kind="stable")
    path = np.empty(len(ts))
    over = 0
    for i in range(len(ts) + 1):
        now = ts[i] if i < len(ts) else np.iinfo(np.int64).max
        while over < i and until[ending[over]] <= now and ending[over] < i:
            j = ending[over]
            have = np.minimum(have + staked[j] * net_bps[j], ENDLESS)
            risked -= staked[j] * worst_bps
            lost = have <= 0.0
            staked[:, lost] = have[lost] = risked[lost] = 0.0
            path[over] = np.mean(have)
            over += 1
        if i < len(ts):
            staked[i] = np.where(have > 0.0, sizes * np.maximum(have - risked, 0.0), 0.0)
            risked += staked[i] * worst_bps
    return path


def wealth_of_open(ts: Times, until: Times, net_bps: Floats, worst_bps: float) -> float:
    """Wealth after the last end, 1 before any; arguments and errors as in `open_path`."""
    path = open_path(ts, until, net_bps, worst_bps)
    return float(path[-1]) if len(path) else 1.0


def wealth_needed(pipelines: int, error: float = 0.05) -> float:
    """Wealth at which one of k configurations passes, so that any that is worth nothing does in `error` of all cases.

    k / error: 20 k at 5 %. The union of k bounds, by Ville's inequality.

    Raises:
        ValueError: k below 1, or an error outside (0, 1).
    """
    if pipelines < 1 or not 0.0 < error < 1.0:
        raise ValueError(f"expected 1 configuration or more and an error within (0, 1), got {pipelines}, {error}")
    return pipelines / error
