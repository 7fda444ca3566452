"""`./neighborbid demo`: live auctions, or with `--neighbourhood` a trade between two neighbours, played and proven."""

import argparse
import asyncio
from collections.abc import Sequence

from rich.console import Console

from server.client import Disconnected, Problem
from server.demo import live, neighbourhood
from server.settings import Settings


def main(settings: Settings, args: Sequence[str]) -> int:
    """Run a demo against the running system. Returns the exit status: 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(prog="neighborbid demo", description=__doc__)
    parser.add_argument("--neighbourhood", action="store_true", help="two neighbours trade a desk")
    parser.add_argument("--bidders", type=int, default=20, help="number of bidders in the live auctions")
    parser.add_argument(
        "--seconds",
        type=int,
        help="length of the auctions before soft close (default 60, with --neighbourhood 20)",
    )
    options = parser.parse_args(args)
    console = Console()
    if settings.accounts.verify_email or not settings.development:
        console.print(
            "The demo's users have no mailboxes and no real money."
            " Run it with NEIGHBORBID_ENVIRONMENT=development and NEIGHBORBID_VERIFY_EMAIL=off."
        )
        return 1
    if options.neighbourhood:
        demo = neighbourhood.play(settings, seconds=options.seconds or 20, console=console)
    else:
        demo = live.play(settings, bidders=options.bidders, seconds=options.seconds or 60, console=console)
    try:
        return 0 if asyncio.run(demo) else 1
    except (Disconnected, Problem) as error:
        console.print(
            f"The demo stopped: {error}\nCheck with `./neighborbid status` whether the system is up."
        )
        return 1
