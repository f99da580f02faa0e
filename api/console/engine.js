// Engine: what the server does at this moment, what it serves from, and the versions it could.
import {chart} from './charts.js';
import {el, notice} from './elements.js';
import {call} from './server.js';
import {whole} from './text.js';
import {indexes, methods, requestsOf, stages, tiles, versionTable} from './engine_tables.js';

const kEveryMs = 2000;
const kKept = 150; // points of the charts: five minutes

let parts;
let timer;
let looks = []; // {at, requests, engine}, oldest first
let writes = false;
let log; // the version whose training is drawn

function perSecond(look, before) {
  return before && look.at > before.at
    ? (Math.max(0, look.requests - before.requests) * 1000) / (look.at - before.at)
    : null;
}

async function rollBack(to) {
  if (!confirm(`Serve version ${to} instead of the current one?`)) return;
  try {
    await call('/console/rollback', {to});
  } catch (error) {
    if (error.status !== 0) parts.said.textContent = error.message;
    return;
  }
  parts.said.textContent = '';
  look();
}

async function training(version) {
  const {epochs} = await call('/console/training', {version});
  const names = [...new Set(epochs.map(({stage}) => stage))];
  const longest = Math.max(
    0,
    ...names.map((name) => epochs.filter(({stage}) => stage === name).length),
  );
  const lines = (what) =>
    names
      .map((name) => ({
        name,
        values: Array.from(
          {length: longest},
          (_, i) => epochs.filter(({stage}) => stage === name)[i]?.[what] ?? null,
        ),
      }))
      .filter(({values}) => values.some((value) => value !== null));
  const labels = Array.from({length: longest}, (_, i) => i + 1);
  for (const figure of parts.training.children) figure.end?.();
  parts.training.replaceChildren(
    ...(epochs.length === 0
      ? [notice('', 'This version has learned nothing from behaviours.')]
      : [
          chart({
            caption: `nDCG@10 on held-out behaviours by epoch, ${version}`,
            labels,
            lines: lines('validation_ndcg@10'),
            describe: (value) => (+value).toFixed(3),
            zero: false,
          }),
          chart({
            caption: 'Loss by epoch',
            labels,
            lines: lines('loss'),
            describe: (value) => (+value).toFixed(2),
            zero: false,
          }),
        ]),
  );
}

/** What is drawn again is only what changed, so that nothing loses its focus or jumps. */
function replaceChanged(box, content) {
  const next = [content].flat();
  const same =
    next.length === box.children.length &&
    next.every((node, i) => node.isEqualNode(box.children[i]));
  if (!same) box.replaceChildren(...next);
}

/** `told`: what /console/engine has just said; without it it is asked. */
async function look(told) {
  clearTimeout(timer);
  try {
    const [engine, versions] = await Promise.all([
      told ?? call('/console/engine'),
      call('/console/versions'),
    ]);
    if (!parts) return;
    const now = {at: engine.now_ms, requests: requestsOf(engine), engine};
    if (looks.length > 0 && looks.at(-1).requests > now.requests) looks = []; // another process
    looks = [...looks, now].slice(-kKept);
    draw(now, versions);
  } catch (error) {
    if (parts && error.status !== 0) parts.said.textContent = error.message;
  }
  if (parts) timer = setTimeout(look, kEveryMs);
}

function drawTables(engine, rate) {
  replaceChanged(parts.tiles, tiles(engine, rate));
  replaceChanged(parts.stages, stages(engine));
  replaceChanged(parts.methods, methods(engine));
  replaceChanged(parts.indexes, indexes(engine.indexes));
}

function draw({engine}, versions) {
  const rates = looks.map((of, i) => perSecond(of, looks[i - 1]));
  drawTables(engine, rates.at(-1));
  const text = JSON.stringify(versions);
  if (text !== parts.versionsText) {
    parts.versionsText = text;
    parts.versions.replaceChildren(...versionTable(versions, writes && rollBack));
    const current = versions.versions.find((version) => version.current)?.version;
    if (current !== undefined && current !== log) {
      log = current;
      training(current).catch((error) =>
        parts.training.replaceChildren(notice('failed', error.message)),
      );
    }
  }
  const labels = looks.map(({at}) => new Date(at).toTimeString().slice(0, 8));
  parts.rate.update({labels, lines: [{name: 'requests a second', values: rates}]});
  const ms = (name) =>
    looks.map((of) => (of.engine.recent.lists > 0 ? of.engine.recent.total_us[name] / 1000 : null));
  parts.latency.update({
    labels,
    lines: [
      {name: 'p50', values: ms('p50')},
      {name: 'p99', values: ms('p99')},
    ],
  });
}

export async function open(_, engine) {
  writes = engine.console.writes;
  log = undefined;
  const box = (kind, more = {}) => el('div', {class: kind, ...more});
  parts = {
    said: el('p', {class: 'failed', role: 'alert'}),
    tiles: el('dl', {class: 'tiles'}),
    stages: box('panel'),
    methods: box('panel'),
    indexes: box('panel'),
    versions: box('panel'),
    training: box('charts'),
    rate: chart({
      caption: 'Requests a second, as this page has seen them',
      labels: [],
      lines: [],
      describe: (value) => (value < 10 ? (+value).toFixed(1) : whole(value)),
    }),
    latency: chart({
      caption: 'Milliseconds of the newest lists',
      labels: [],
      lines: [],
      describe: (value) => (+value).toFixed(1),
    }),
  };
  parts.root = el(
    'div',
    {class: 'stack'},
    el('h1', {class: 'hidden'}, 'Engine'),
    parts.said,
    parts.tiles,
    el('div', {class: 'charts'}, parts.rate, parts.latency),
    el('div', {class: 'charts'}, parts.stages, parts.methods),
    parts.indexes,
    parts.versions,
    parts.training,
  );
  const {root} = parts;
  drawTables(engine, null);
  look(engine);
  return root;
}

export function close() {
  clearTimeout(timer);
  for (const figure of [parts?.rate, parts?.latency, ...(parts?.training.children ?? [])])
    figure?.end?.();
  parts = undefined;
}

export const again = () => look();
