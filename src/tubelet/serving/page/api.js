// Requests to the service, and its server-sent events.

export class Refused extends Error {}

const pause = seconds => new Promise(done => setTimeout(done, 1000 * seconds));

/** The address of a route with its parameters; empty ones are left out. */
export function address(route, parameters = {}) {
  const kept = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== "");
  return kept.length ? `${route}?${new URLSearchParams(kept)}` : route;
}

/** Send a file. While the service is full, try again when it says so; `wait` is called with the seconds. */
export async function send(route, parameters, file, { wait = () => {}, signal } = {}) {
  for (let attempt = 0; ; attempt++) {
    let answer;
    try {
      answer = await fetch(address(route, parameters), { method: "POST", body: file, signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused("the service does not answer; is it still running?");
    }
    if (answer.ok) return answer;
    if ([429, 503].includes(answer.status) && attempt < 20) {
      const seconds = Number(answer.headers.get("Retry-After") ?? 2);
      wait(seconds);
      await pause(seconds);
      continue;
    }
    const problem = await answer.json().catch(() => ({ detail: answer.statusText }));
    throw new Refused(problem.detail);
  }
}

/** The events of an answer, as [name, data]. */
export async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      const [name, data] = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      yield [name.slice("event: ".length), JSON.parse(data.slice("data: ".length))];
    }
  }
}
