"""The real scripts on a real Redis and `market/rules.py`, side by side.

Every step runs in both; then the reply, everything the scripts keep in Redis and what they published must be,
byte for byte, what the rules say. A difference raises `Disagreement`.
"""

from dataclasses import asdict, replace
from typing import Any, Self, cast
from uuid import UUID

import msgspec

from market import rules
from store.ids import new_id
from store.redis import auctions, clients, keys, scripts
from store.redis.calls import Call
from store.redis.records import (
    BidRecord,
    ExtensionRecord,
    NotYet,
    Record,
    Rejection,
    SealRecord,
)

CLOCK = "clock"

CLOCK_PRELUDE = """
local redis = (function(real)
  return { call = function(name, ...)
    if name == 'TIME' then
      local microseconds = real.call('GET', 'clock')
      return { string.sub(microseconds, 1, -7), string.sub(microseconds, -6) }
    end
    return real.call(name, ...)
  end }
end)(redis)
"""
"""Put before a script, it makes TIME answer what the key `CLOCK` says (microseconds since the epoch)."""

TTL_SLACK_S = 60
"""An expiry may be this much below its full length when it is looked at."""


class Disagreement(AssertionError):
    """The scripts did something else than the rules say."""


def agree(what: str, scripts: object, rules: object) -> None:
    """Raise `Disagreement` unless both sides are equal."""
    if scripts != rules:
        raise Disagreement(f"{what}\n  scripts: {scripts}\n  rules:   {rules}")


def hot_auction(
    auction_id: UUID, state: rules.BiddingState, log_position: str = "0-0"
) -> auctions.HotAuction:
    """`state` as it is loaded into Redis, its paddles in version 1."""
    lead = state.lead
    return auctions.HotAuction(
        auction_id=auction_id,
        epoch=state.epoch,
        seq=state.seq,
        seller=UUID(state.seller),
        opens_at=state.opens_at,
        ends_at=state.ends_at,
        start_price=state.start_price,
        steps=[(step.from_price, step.increment) for step in state.steps],
        window_ms=state.soft_close.window_ms,
        extension_ms=state.soft_close.extension_ms,
        latest_end=state.soft_close.latest_end,
        reserve=state.reserve,
        buy_now_price=state.buy_now_price,
        buy_now_until=state.buy_now_until,
        price=state.price,
        leader=UUID(lead.bidder) if lead else None,
        leader_paddle=lead.paddle if lead else 0,
        leader_maximum=lead.maximum if lead else 0,
        bids=state.bids,
        log_position=log_position,
        paddles=[
            auctions.HotPaddle(UUID(bidder), paddle.number, paddle.limit, 1)
            for bidder, paddle in state.paddles.items()
        ],
        extended_by=[UUID(action) for action in sorted(state.extended_by)],
    )


class SideBySide:
    """One auction in both worlds, missing at first. `now` is the clock of both (ms), `compared` counts the steps."""

    def __init__(self, server: clients.SyncHot, scripts: scripts.Scripts) -> None:
        self.server = server
        self.redis = cast(Any, server.client)
        self.scripts = scripts
        self.auction_id = new_id()
        self.keys = keys.keys_of(self.auction_id)
        self.compared = 0
        self.viewer = self.redis.pubsub()
        self.viewer.ssubscribe(self.keys.channel)
        self.viewer.parse_response()
        self.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.viewer.close()

    def reset(self) -> None:
        """Lose everything, in both worlds."""
        self.redis.flushdb()
        self._heard()
        self.state: rules.BiddingState | None = None
        self.versions: dict[str, int] = {}
        self.history: list[bytes] = []
        self.log: list[bytes] = []
        self.log_position = "0-0"
        self.answers: dict[str, dict[str, bytes]] = {}
        self.seal_text = b""
        self._unheard: list[bytes] = []
        self.is_ready = False
        self.is_mirrored = False
        self.is_copy = False
        self.set_clock(0)

    # What a test does

    def set_clock(self, now_ms: int, microseconds: int = 700) -> None:
        """Set the clock of both worlds. Redis's has microseconds, which the scripts must cut off."""
        self.now = now_ms
        self.redis.set(CLOCK, f"{now_ms * 1000 + microseconds:016}")

    def mark_ready(self) -> None:
        """Say that the shard was loaded."""
        self.redis.set(self.keys.ready, 1)
        self.is_ready = True

    def mark_mirrored(self) -> None:
        """Say that the mirrors of the shard are there."""
        self.redis.set(self.keys.mirrored, 1)
        self.is_mirrored = True

    def load(self, state: rules.BiddingState, log_position: str = "0-0") -> None:
        """Load `state` unless there is one."""
        call = auctions.load_auction(hot_auction(self.auction_id, state, log_position), scripts=self.scripts)
        agree("reply", self.server.run(replace(call, parse=_as_it_is)), int(self.state is None))
        if not self.log:
            self.log_position = log_position
        if self.state is None:
            self.state = state
            self.versions = dict.fromkeys(state.paddles, 1)
            self.history = []
        self.compare()

    def bid(self, bidder: str, maximum: int, ref: str, epoch: int = 0) -> None:
        """Bid in both worlds."""
        call = auctions.place_bid(self.auction_id, UUID(bidder), ref, maximum, epoch, scripts=self.scripts)
        self._offer(rules.BidOffer(bidder, ref, maximum, epoch), call)

    def buy_now(self, bidder: str, ref: str, epoch: int = 0) -> None:
        """Buy in both worlds; the purchase is sealed in the same moment."""
        call = auctions.buy_now(self.auction_id, UUID(bidder), ref, epoch, scripts=self.scripts)
        self._offer(rules.PurchaseOffer(bidder, ref, epoch), call)

    def _offer(self, offer: rules.BidOffer | rules.PurchaseOffer, call: Call[Any]) -> None:
        expected: BidRecord | Rejection
        if self.state is None:
            expected = self._missing()
        elif self.is_copy:
            expected = self._refused(rules.Code.WRONG_KIND, self.state)
        else:
            decision = rules.decide(self.state, offer, self.now)
            if isinstance(decision, rules.RejectedOffer):
                expected = self._refused(decision.code, self.state)
            else:
                expected = msgspec.convert(
                    {"type": "bid", "auction": self.auction_id, **asdict(decision)}, BidRecord
                )
                after = rules.apply(self.state, decision)
                if after is not self.state:
                    self._record(expected)
                    self.answers.setdefault(offer.bidder, {})[offer.ref] = msgspec.json.encode(expected)
                    self.state = after
                    if decision.bought:
                        sealed = rules.seal(after, self.now)
                        assert isinstance(sealed, rules.Sealed)
                        self._seal(after, sealed)
        self._run(call, expected)

    def seal(self) -> None:
        """Try to end the auction in both worlds."""
        expected: SealRecord | NotYet | Rejection
        if self.state is None:
            expected = self._missing()
        else:
            sealed = rules.seal(self.state, self.now)
            if isinstance(sealed, rules.SealTooEarly):
                expected = NotYet(max(self.now, self.state.decided_at), sealed.ends_at)
            else:
                expected = self._seal(self.state, sealed)
        self._run(auctions.seal_auction(self.auction_id, scripts=self.scripts), expected)

    def cancel(self, force: bool) -> None:
        """Try to cancel the auction in both worlds."""
        expected: SealRecord | Rejection
        if self.state is None:
            expected = self._missing()
        elif sealed := rules.cancel(self.state, self.now, force):
            expected = self._seal(self.state, sealed)
        else:
            expected = Rejection("has_bids", max(self.now, self.state.decided_at), 0, 0, 0)
        self._run(auctions.cancel_auction(self.auction_id, force=force, scripts=self.scripts), expected)

    def extend(self, action: str, by_ms: int) -> None:
        """Try to move the end in both worlds."""
        expected: ExtensionRecord | Rejection
        if self.state is None:
            expected = self._missing()
        elif extension := rules.extend(self.state, action, by_ms, self.now):
            expected = msgspec.convert(
                {"type": "extension", "auction": self.auction_id, **asdict(extension)}, ExtensionRecord
            )
            self._record(expected)
            self.state = rules.apply(self.state, extension)
        else:
            code = "already_extended" if action in self.state.extended_by else "closed"
            expected = Rejection(code, max(self.now, self.state.decided_at), 0, 0, 0)
        call = auctions.extend_auction(self.auction_id, UUID(action), by_ms, scripts=self.scripts)
        self._run(call, expected)

    def _seal(self, state: rules.BiddingState, sealed: rules.Sealed) -> SealRecord:
        """The record of the seal, which ends the auction unless it is sealed already."""
        record = msgspec.convert({"type": "seal", "auction": self.auction_id, **asdict(sealed)}, SealRecord)
        if state.sealed is None:
            self._record(record)
            self.seal_text = msgspec.json.encode(record)
            self.state = replace(state, sealed=sealed, seq=sealed.seq, decided_at=sealed.at)
        return record

    def put_paddle(self, bidder: str, number: int, limit: int, version: int) -> None:
        """Give, change or take back a paddle in both worlds."""
        stored = self.versions.get(bidder, 0)
        if self.state is None:
            expected = "unavailable"
        elif version <= stored:
            expected = "written" if version == stored else "stale"
        elif after := rules.change_paddle(self.state, bidder, rules.BidderPaddle(number, limit)):
            expected = "written"
            self.state = after
            self.versions[bidder] = version
        else:
            expected = "leading"
        paddle = auctions.HotPaddle(UUID(bidder), number, limit, version)
        answer = self.server.run(auctions.put_paddle(self.auction_id, paddle, scripts=self.scripts))
        agree("answer", answer, expected)
        self.compare()

    def read(self, after: int) -> None:
        """Read the auction from Redis as a viewer that knows all up to `after`."""
        reading = self.server.run(auctions.read_auction(self.auction_id, after, scripts=self.scripts))
        if self.state is None:
            # For a viewer it may be of either kind.
            known = rules.Code.UNKNOWN_AUCTION if self.is_mirrored else rules.Code.UNAVAILABLE
            code = known if self.is_ready else rules.Code.UNAVAILABLE
            agree("reading", reading, auctions.Reading(self.now, None, code, []))
        else:
            missed = max(self.state.seq - after, 0)
            records = self._kept()[-missed:] if missed else []
            fields = {name: value.decode() for name, value in self._fields(self.state).items()}
            agree("reading", reading, auctions.Reading(self.now, fields, "", records))

    def postpone_end_by_hand(self, ends_at: int) -> None:
        """What no script does: change the end in both worlds."""
        assert self.state
        self.redis.hset(self.keys.auction, "ends_at", ends_at)
        self.state = replace(self.state, ends_at=ends_at)

    def make_a_copy(self) -> None:
        """What another script does: say that the auction is only a mirror, which the rules know nothing of."""
        self.redis.hset(self.keys.auction, "copy", 1)
        self.is_copy = True

    def lose_auction(self) -> None:
        """What no script does: lose the auction itself and leave all other keys."""
        self.redis.delete(self.keys.auction)
        self.state = None

    def leave_remains(self) -> None:
        """What no script does: paddles and history of a lost auction, which nobody may find in the next."""
        self.redis.hset(self.keys.paddles, str(new_id()), "1:99:1")
        self.redis.rpush(self.keys.history, "lost")

    # How both worlds are compared

    def compare(self) -> None:
        """All that Redis holds of the auction, and all that was published since the last comparison."""
        self.compared += 1
        agree("published", self._heard(), self._unheard)
        self._unheard = []
        pipe = self.redis.pipeline(transaction=False)
        pipe.hgetall(self.keys.auction).hgetall(self.keys.paddles).lrange(self.keys.history, 0, -1)
        pipe.xrange(self.keys.log).zrange(self.keys.due, 0, -1, withscores=True)
        pipe.pttl(self.keys.auction).pttl(self.keys.paddles).pttl(self.keys.history)
        for bidder in self.answers:
            pipe.hgetall(self._answers_key(bidder)).pttl(self._answers_key(bidder))
        auction, paddles, history, log, due, *rest = pipe.execute()

        state = self.state
        agree("log", [fields for _, fields in log], [{b"r": text} for text in self.log])
        if log:
            agree(
                "log behind the position",
                _stream_id(log[0][0]) > _stream_id(self.log_position.encode()),
                True,
            )
        if state is None:
            agree("auction", auction, {})
            return
        agree("auction", _named(auction), self._fields(state))
        agree(
            "paddles",
            _named(paddles),
            {b: f"{p.number}:{p.limit}:{self.versions[b]}".encode() for b, p in state.paddles.items()},
        )
        agree("history", history, self._kept())
        agree("due", _scores(due), {} if state.sealed else {str(self.auction_id): state.ends_at})
        kept_ms = auctions.KEEP_SEALED_MS if state.sealed else None
        for name, ttl, exists in zip(
            ("auction", "paddles", "history"), rest, (1, paddles, history), strict=False
        ):
            agree(f"expiry of {name}", _full_length(ttl), kept_ms if exists else "no key")
        for (bidder, expected), answers, ttl in zip(
            self.answers.items(), rest[3::2], rest[4::2], strict=True
        ):
            agree(f"answers of {bidder}", _named(answers), expected)
            agree(f"expiry of answers of {bidder}", _full_length(ttl), auctions.ANSWER_TTL_S * 1000)

    def _run(self, call: Call[Any], expected: msgspec.Struct) -> None:
        agree("reply", self.server.run(replace(call, parse=_as_it_is)), msgspec.json.encode(expected))
        self.compare()

    def _record(self, record: Record) -> None:
        text = msgspec.json.encode(record)
        self.history.append(text)
        self.log.append(text)
        self._unheard.append(text)

    def _heard(self) -> list[bytes]:
        """What the viewer was sent. Redis answers a PING on the viewer's connection after all published before."""
        self.viewer.ping()
        return [message[2] for message in iter(self.viewer.parse_response, b"PONG")]

    def _kept(self) -> list[bytes]:
        return self.history[-auctions.HISTORY_LENGTH :]

    def _refused(self, code: rules.Code, state: rules.BiddingState) -> Rejection:
        now = max(self.now, state.decided_at)
        return Rejection(code, now, state.price, rules.next_minimum(state), state.ends_at)

    def _missing(self) -> Rejection:
        code = rules.Code.UNKNOWN_AUCTION if self.is_ready else rules.Code.UNAVAILABLE
        return Rejection(code, self.now, 0, 0, 0)

    def _answers_key(self, bidder: str) -> str:
        return auctions.place_bid(self.auction_id, UUID(bidder), "any", 1).keys[2]

    def _fields(self, state: rules.BiddingState) -> dict[str, bytes]:
        lead = state.lead or rules.Lead("", 0, 0)
        fields = {
            "epoch": state.epoch,
            "seq": state.seq,
            "seller": state.seller,
            "opens_at": state.opens_at,
            "ends_at": state.ends_at,
            "start_price": state.start_price,
            "steps": ";".join(f"{step.from_price}:{step.increment}" for step in state.steps),
            **asdict(state.soft_close),
            "reserve": state.reserve,
            "buy_now_price": state.buy_now_price,
            "buy_now_until": state.buy_now_until,
            "price": state.price,
            "leader": lead.bidder,
            "leader_paddle": lead.paddle,
            "leader_maximum": lead.maximum,
            "bids": state.bids,
            "decided_at": state.decided_at,
            **{f"extended:{action}": 1 for action in state.extended_by},
        }
        if self.is_copy:
            fields["copy"] = 1
        if state.sealed:
            fields["seal"] = self.seal_text.decode()
        return {name: str(value).encode() for name, value in fields.items()}


def _as_it_is(reply: Any) -> Any:
    return reply


def _named(reply: dict[bytes, bytes]) -> dict[str, bytes]:
    return {name.decode(): value for name, value in reply.items()}


def _stream_id(text: bytes) -> list[int]:
    return [int(part) for part in text.split(b"-")]


def _scores(reply: list[Any]) -> dict[str, int]:
    return {member.decode(): int(score) for member, score in reply}


def _full_length(ttl_ms: int) -> int | str | None:
    """The expiry that was set to give `ttl_ms`: None without one."""
    if ttl_ms == -2:
        return "no key"
    for length in (auctions.KEEP_SEALED_MS, auctions.ANSWER_TTL_S * 1000):
        if length - TTL_SLACK_S * 1000 < ttl_ms <= length:
            return length
    return None if ttl_ms == -1 else f"{ttl_ms} ms"
