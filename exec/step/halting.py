"""What a breaker does to orders and positions when it trips."""

from __future__ import annotations

from exec.step.orders import close_at_next, end_order
from utils.codes import CANCELLED, CLOSE, FLATTEN, FREE, PARTIAL, RISK, RISK_HALT, STOP, TAKE
from utils.compiled import compiled
from utils.rows import AccountRow, Rows


@compiled
def halt(acc: AccountRow, pos: Rows, slots: Rows, orders: Rows, action: int, ts: int) -> None:
    """Cancel every order that could open or add to a position; to flatten, send each position to the market as well.

    Args:
        acc: the account.
        pos: POSITION of all symbols.
        slots: ORDER_SLOT of all symbols.
        orders: rows for orders that end.
        action: BLOCK or FLATTEN.
        ts: now, ns.
    """
    for s in range(len(pos)):
        p, first = pos[s], s * acc.slots
        for i in range(first, first + acc.slots):
            slot = slots[i]
            if slot.state != FREE and slot.reduce_only == 0 and slot.role not in (TAKE, STOP, CLOSE):
                status = PARTIAL if slot.filled > 0.0 else CANCELLED
                end_order(acc, p, slot, orders[acc.n_orders], s, ts, p.mark, 0, status, RISK)
        close = slots[first + CLOSE - 1]
        if action == FLATTEN and p.qty != 0.0 and close.state == FREE:
            close_at_next(p, close, RISK_HALT, ts, p.mark)
