// Talks to /d/api. An error carries the server's own words and the field they are about.
export class ServerError extends Error {
  constructor(status, body) {
    super(body.detail || `HTTP ${status}`);
    this.status = status;
    this.field = body.field;
    this.reason = body.reason;
  }
}

export async function call(method, path, body) {
  const response = await fetch(`/d/api/${path}`, {
    method,
    credentials: "same-origin",
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new ServerError(response.status, answer);
  return answer;
}

// The state as it changes. EventSource reconnects by itself; `onNet(false)` tells that the line is down,
// `onNet(true, true)` that the stream begins anew, perhaps of a server whose clock and numbers begin lower.
export function follow(onState, onNet) {
  const source = new EventSource("/d/api/events");
  source.addEventListener("state", (event) => {
    onNet(true);
    onState(JSON.parse(event.data));
  });
  source.onopen = () => onNet(true, true);
  source.onerror = () => {
    onNet(false);
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(onState, onNet), 5000);
  };
  return source;
}
