// Watches every running auction over one WebSocket. The protocol is docs/protocol.md.

const LIST_EVERY_MS = 5_000;
const RECONNECT_MAX_MS = 10_000;
const BIDS_SHOWN = 8;
const CLOSED_SHOWN = 12;
const CLOSING_MS = 10_000;
const EXTENDED_SHOWN_MS = 3_000;

const money = new Intl.NumberFormat("ko-KR", { style: "currency", currency: "KRW" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const list = document.getElementById("auctions");
const empty = document.getElementById("empty");
const connection = document.getElementById("connection");
const template = document.getElementById("card");

const auctions = new Map(); // id -> { card, title, live: the state that snapshot and events make, extendedAt }
let socket = null;
let attempts = 0;
let refs = 0;
let serverOffsetMs = 0; // server clock minus this browser's

const serverNow = () => Date.now() + serverOffsetMs;

function send(type, fields) {
  if (socket?.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ type, ref: `w${++refs}`, ...fields }));
  }
}

function subscribe(id) {
  const { live } = auctions.get(id);
  send("subscribe", live ? { auction: id, epoch: live.epoch, seq: live.seq } : { auction: id });
}

// One function per message; each keeps the fold that docs/protocol.md describes.
const receive = {
  snapshot(auction, message) {
    auction.live = message;
  },
  tick(auction, message) {
    const live = auction.live;
    if (!live || message.last <= live.seq) return;
    if (message.epoch !== live.epoch || message.first > live.seq + 1) return subscribe(message.auction);
    Object.assign(live, {
      seq: message.last,
      price: message.price,
      leader: message.leader,
      next_minimum: message.next_minimum,
      ends_at: message.ends_at,
      bids: message.count,
      recent: [...live.recent, ...message.bids.filter((bid) => bid.seq > live.seq)].slice(-20),
    });
  },
  extended(auction, message) {
    const live = auction.live;
    if (!live) return;
    const known = message.outage ? live.seq + 1 : live.seq;
    if (message.epoch !== live.epoch || message.seq > known) return subscribe(message.auction);
    live.seq = Math.max(live.seq, message.seq);
    live.ends_at = Math.max(live.ends_at, message.ends_at);
    auction.extendedAt = Date.now();
  },
  closed(auction, message) {
    const live = auction.live;
    if (!live) return;
    if (message.epoch !== live.epoch || message.seq > live.seq + 1) return subscribe(message.auction);
    Object.assign(live, {
      seq: message.seq,
      state: "closed",
      ends_at: message.ends_at,
      hammer_price: message.hammer_price,
      winner: message.winner,
      cancelled: message.cancelled,
      bids: message.bids,
    });
  },
  viewers(auction, message) {
    if (auction.live) auction.live.viewers = message.count;
  },
};

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/ws/live`);
  let reconnectMs = null;

  socket.onopen = () => {
    attempts = 0;
    connection.textContent = "live";
    connection.className = "live";
    for (const [id, { live }] of auctions) if (live?.state !== "closed") subscribe(id);
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.server_time) serverOffsetMs = message.server_time - Date.now();
    if (message.type === "drain") reconnectMs = message.reconnect_in_ms;
    const auction = auctions.get(message.auction);
    if (auction && Object.hasOwn(receive, message.type)) {
      receive[message.type](auction, message);
      show(auction);
    }
  };
  socket.onclose = () => {
    connection.textContent = "reconnecting…";
    connection.className = "";
    // Spread out, so that a restart is not followed by everybody at once.
    const backoff = Math.min(RECONNECT_MAX_MS, 250 * 2 ** attempts++) * (0.5 + Math.random() / 2);
    setTimeout(connect, reconnectMs ?? backoff);
  };
}

async function refreshList() {
  try {
    const pages = await Promise.all(
      ["live", "scheduled"].map(async (state) => {
        const response = await fetch(`/api/v1/auctions?state=${state}&limit=30`);
        if (!response.ok) throw new Error(`listing auctions: ${response.status}`);
        return (await response.json()).items;
      }),
    );
    for (const item of pages.flat()) if (!auctions.has(item.id)) add(item);
    // Refused, perhaps because the live state was not there: ask again.
    for (const [id, { live }] of auctions) if (!live) subscribe(id);
    forgetOldest();
    empty.hidden = auctions.size > 0;
  } catch (error) {
    console.error(error); // shown as "reconnecting…" by the socket; the next round tries again
  }
}

function add({ id, title }) {
  const card = template.content.firstElementChild.cloneNode(true);
  card.querySelector("h2").textContent = title;
  list.prepend(card);
  auctions.set(id, { card, title, live: null, extendedAt: 0 });
  subscribe(id);
}

// A page that stays open must not reach the socket's limit of 100 auctions.
function forgetOldest() {
  const closed = [...auctions].filter(([, { live }]) => live?.state === "closed");
  for (const [id, { card }] of closed.slice(0, Math.max(0, closed.length - CLOSED_SHOWN))) {
    send("unsubscribe", { auction: id });
    card.remove();
    auctions.delete(id);
  }
}

function show({ card, live }) {
  if (!live) return;
  const closed = live.state === "closed";
  const set = (selector, text) => { card.querySelector(selector).textContent = text; };
  set(".price data", live.price === null ? money.format(live.next_minimum) : money.format(live.price));
  set(".leader", live.leader === null ? "starting price" : `paddle ${live.leader}${closed ? " wins" : " leads"}`);
  set(".count", live.bids === 1 ? "1 bid" : `${live.bids} bids`);
  set(".next", closed ? "" : `next bid from ${money.format(live.next_minimum)}`);
  set(".viewers", `${live.viewers} watching`);
  card.querySelector(".bids").replaceChildren(
    ...live.recent.slice(-BIDS_SHOWN).reverse().map((bid) => {
      const row = document.createElement("li");
      const [paddle, price, at] = ["span", "span", "time"].map((name) => document.createElement(name));
      paddle.textContent = `paddle ${bid.paddle}`;
      price.textContent = money.format(bid.price);
      at.textContent = clock.format(bid.at);
      row.append(paddle, price, at);
      return row;
    }),
  );
}

function remaining(ms) {
  const tenths = Math.max(0, Math.ceil(ms / 100));
  const [minutes, seconds] = [Math.floor(tenths / 600), (tenths % 600) / 10];
  return minutes >= 10 ? `${minutes} min` : `${minutes}:${seconds.toFixed(1).padStart(4, "0")}`;
}

function countDown() {
  for (const { card, live, extendedAt } of auctions.values()) {
    if (!live) continue;
    const closed = live.state === "closed";
    const [untilOpen, untilEnd] = [live.opens_at - serverNow(), live.ends_at - serverNow()];
    const text = closed
      ? live.cancelled ? "cancelled" : live.hammer_price === null ? "closed, unsold" : `sold at ${money.format(live.hammer_price)}`
      : untilOpen > 0 ? `opens in ${remaining(untilOpen)}` : `${remaining(untilEnd)} left`;
    card.querySelector(".clock time").textContent = text;
    card.querySelector(".extended").hidden = closed || Date.now() - extendedAt > EXTENDED_SHOWN_MS;
    card.classList.toggle("closing", !closed && untilEnd < CLOSING_MS);
    card.classList.toggle("sold", closed && live.hammer_price !== null);
  }
  requestAnimationFrame(countDown);
}

connect();
refreshList();
setInterval(refreshList, LIST_EVERY_MS);
requestAnimationFrame(countDown);
