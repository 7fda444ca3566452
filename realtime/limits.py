"""Every bound and every rhythm of the live socket. Tests and operators may change them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds, sizes in bytes."""

    message_bytes: int = 16 * 1024
    messages_per_s: float = 50
    """Of all signed-in sockets of an account on this process together, or of one socket that is nobody's."""
    message_burst: int = 100
    bids_per_s: float = 20
    """Of an account on this process."""
    bid_burst: int = 40
    account_sockets: int = 20
    """Signed-in sockets of an account on this process."""
    rate_limited_in_a_row: int = 100
    """A socket that is refused this often without a pause is closed."""
    subscriptions: int = 100
    pending_commands: int = 20_000
    """Commands on their way to Redis; more are refused."""
    command_s: float = 2
    """A command that got no answer for so long counts as lost."""
    load_s: float = 5
    """How long a subscription waits for the state of its auction."""
    grace_s: float = 10
    """How long a room without viewers is kept."""
    history: int = 512
    """Records kept per room for viewers that resume."""
    tick_min_s: float = 0.002
    tick_max_s: float = 0.050
    tick_share: float = 3
    """After a flush a room rests this many times as long as the flush took."""
    kernel_send_bytes: int = 128 * 1024
    """The kernel's send buffer of a socket: what lies there is out of our sight."""
    soft_bytes: int = 64 * 1024
    """Unsent bytes above which a viewer gets no more ticks, but one snapshot once it has read everything."""
    hard_bytes: int = 256 * 1024
    """Unsent bytes above which a viewer is closed."""
    slow_s: float = 10
    """How long a viewer may stay behind before it is closed."""
    ping_s: float = 15
    """WebSocket ping interval, and the time for its pong."""
    heartbeat_s: float = 2
    """A subscriber connection that is silent for twice as long is replaced."""
    position_check_s: float = 5
    viewers_s: float = 2
    write_back_age_s: float = 10
    """Write-back older than this is an alarm."""
    reconnects_per_s: float = 500
    """The pace at which a draining process lets its sockets go."""
