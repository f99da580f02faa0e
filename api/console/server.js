// Requests to the server that the page came from, and whether it answers. Owns the bearer token.

const kTokenKey = 'fovea-token';
const kRetryMs = 2000;
const kTimeoutMs = 20_000;

/** What the server refused, in its own sentence. `status` 0: it did not answer. */
class ServerError extends Error {
  constructor(status, message, field) {
    super(message);
    this.status = status;
    this.field = field;
  }
}

const listeners = new Set();
let answering = true;

/** Calls `listener(true or false)` whenever the server is lost or found again. */
export function onAnswering(listener) {
  listeners.add(listener);
}

function tell(now) {
  if (now === answering) return;
  answering = now;
  if (!now) setTimeout(lookAgain, kRetryMs);
  for (const listener of listeners) listener(now);
}

async function lookAgain() {
  try {
    const answer = await fetch('/livez', {
      cache: 'no-store',
      signal: AbortSignal.timeout(kTimeoutMs),
    });
    if (answer.ok) return tell(true);
  } catch {
    /* not yet */
  }
  setTimeout(lookAgain, kRetryMs);
}

async function send(path, body) {
  const headers = {};
  const token = sessionStorage.getItem(kTokenKey);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response;
  let answer;
  try {
    response = await fetch(path, {
      method: body === undefined ? 'GET' : 'POST',
      headers,
      cache: 'no-store',
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(kTimeoutMs),
    });
    answer = await response.json();
  } catch {
    tell(false);
    throw new ServerError(0, 'The server does not answer.');
  }
  tell(true);
  if (response.ok) return answer;
  const {message, field} = answer.error ?? {};
  throw new ServerError(
    response.status,
    message ?? `The server answered ${response.status}.`,
    field,
  );
}

/** Asks people for a token, telling what for; resolves to whether they gave one. */
function askForToken(what) {
  const dialog = document.getElementById('token');
  document.getElementById('token-for').textContent = what;
  const form = dialog.querySelector('form');
  form.reset();
  dialog.showModal();
  return new Promise((resolve) => {
    const done = (token) => {
      form.onsubmit = dialog.oncancel = null;
      if (token) sessionStorage.setItem(kTokenKey, token);
      dialog.close();
      resolve(Boolean(token));
    };
    form.querySelector('[value=cancel]').onclick = () => done('');
    dialog.oncancel = () => done('');
    form.onsubmit = (event) => {
      event.preventDefault();
      done(form.elements.token.value.trim());
    };
  });
}

let asking; // one dialog for all that was refused at once

/**
 * The answer of a path: read without a body, otherwise posted. A token is asked for where one is
 * needed. Throws ServerError.
 */
export async function call(path, body) {
  for (;;) {
    try {
      return await send(path, body);
    } catch (error) {
      if (error.status !== 401) throw error;
      asking ??= askForToken(error.message).finally(() => {
        asking = undefined;
      });
      if (!(await asking)) throw error;
    }
  }
}
