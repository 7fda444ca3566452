"""What the platform keeps of a sale."""

from typing import Annotated

import msgspec

from market.rules import MAX_AMOUNT

WHOLE = 10_000
"""Basis points."""
MAX_BASIS_POINTS = 5_000


class SellerFee(msgspec.Struct, frozen=True):
    """`basis_points` (hundredths of a percent) of the hammer price, but at least `floor` and at most `cap`, in minor
    units. It holds for the auctions that are published while it is set."""

    basis_points: Annotated[int, msgspec.Meta(ge=0, le=MAX_BASIS_POINTS)] = 0
    floor: Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT)] = 0
    cap: Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT)] | None = None


def of(fee: SellerFee, hammer_price: int) -> int:
    """The fee for a sale at `hammer_price`, rounded down to a minor unit. Never more than that price, nor than the cap
    where that is below the floor."""
    wanted = max(hammer_price * fee.basis_points // WHOLE, fee.floor)
    return min(wanted, hammer_price if fee.cap is None else min(fee.cap, hammer_price))
