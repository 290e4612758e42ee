// Service: what is asked of the server, and what it says by itself.

const BASE = "/api/v1";

const token = () => sessionStorage.getItem("token");

export function setToken(text) {
  if (text) sessionStorage.setItem("token", text);
  else sessionStorage.removeItem("token");
}

export const hasToken = () => Boolean(token());

/** What the server refused, in its own words. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function answer(response) {
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Refused(response.status, problem.detail || `the service answered ${response.status}`);
}

function headers(more = {}) {
  const given = token();
  return given ? { ...more, Authorization: `Bearer ${given}` } : more;
}

export const ask = (path, options = {}) => fetch(BASE + path, { headers: headers({ Accept: "application/json" }), ...options }).then(answer);

export const tell = (path, body) =>
  fetch(BASE + path, { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify(body) }).then(answer);

/**
 * Listens for as long as the page is open. A stream that breaks is taken up behind the last id, so nothing is missed; `hear` gets every
 * event, `state` whether the stream stands.
 */
export async function listen(topics, hear, state) {
  let last = null, pause = 500;
  for (;;) {
    try {
      const more = last === null ? {} : { "Last-Event-ID": last };
      const response = await fetch(`${BASE}/events?topics=${topics}`, { headers: headers({ Accept: "text/event-stream", ...more }) });
      if (!response.ok) throw new Refused(response.status, "no stream");
      state(true);
      pause = 500;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let held = "";
      for (;;) {
        const { value, done } = await within(DEAD_AFTER, reader);
        if (done) break;
        held += value;
        const blocks = held.split("\n\n");
        held = blocks.pop();
        for (const block of blocks) {
          const event = parse(block);
          if (event.id !== null) last = event.id;
          if (event.name) hear(event);
        }
      }
    } catch (error) {
      if (error.status === 400) last = null; // an id of another log
    }
    state(false);
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, 15_000);
  }
}

/** What comes next; a stream that says nothing for so long is dead: signs of life come every 15 s. */
const DEAD_AFTER = 45_000;

async function within(time, reader) {
  let timer;
  const silence = new Promise((_, reject) => { timer = setTimeout(() => { reader.cancel().catch(() => {}); reject(new Error("silence")); }, time); });
  try {
    return await Promise.race([reader.read(), silence]);
  } finally {
    clearTimeout(timer);
  }
}

function parse(block) {
  const event = { name: "", data: "", id: null };
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    if (at <= 0) continue;
    const field = line.slice(0, at), value = line.slice(at + 1).replace(/^ /, "");
    if (field === "event") event.name = value;
    else if (field === "data") event.data += value;
    else if (field === "id") event.id = value;
  }
  return event;
}
