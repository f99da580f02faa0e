// Engine: what the server does at this moment, what it serves from, and the versions it could.
import {chart} from './charts.js';
import {el, notice, table} from './elements.js';
import {call} from './server.js';
import {bytes, duration, milliseconds, percent, plural, utc, whole} from './text.js';

const kEveryMs = 2000;
const kKept = 150; // points of the charts: five minutes

let parts;
let timer;
let looks = []; // {at, requests, engine}, oldest first
let writes = false;
let log; // the version whose training is drawn

const kNames = {history: 'history', candidates: 'candidates', rerank: 'rerank', respond: 'respond'};

const requestsOf = ({requests}) =>
  requests.reduce(
    (sum, {ok, invalid, overloaded, unavailable, failed}) =>
      sum + ok + invalid + overloaded + unavailable + failed,
    0,
  );
const sumOf = (list, name) => list.reduce((sum, entry) => sum + entry[name], 0);

function perSecond(look, before) {
  return before && look.at > before.at
    ? (Math.max(0, look.requests - before.requests) * 1000) / (look.at - before.at)
    : null;
}

function tile(name, value, more) {
  return el(
    'div',
    {class: 'tile'},
    el('dt', {}, name),
    el('dd', {}, value, el('small', {}, more ?? '')),
  );
}

function tiles(engine, rate) {
  const {recent, memory, ports} = engine;
  return [
    tile(
      'Requests a second',
      rate === null ? '–' : rate < 10 ? rate.toFixed(1) : whole(rate),
      `${whole(requestsOf(engine))} since the start`,
    ),
    tile(
      'A list, p50',
      recent.lists > 0 ? milliseconds(recent.total_us.p50) : '–',
      recent.lists > 0 ? `newest ${plural(recent.lists, 'list')}` : 'no list yet',
    ),
    tile('A list, p99', recent.lists > 0 ? milliseconds(recent.total_us.p99) : '–'),
    tile(
      'In flight',
      whole(sumOf(ports, 'in_flight')),
      plural(sumOf(ports, 'connections'), 'connection'),
    ),
    tile('Shed', whole(sumOf(ports, 'refused')), 'refused at the door'),
    tile('Degraded', whole(engine.degraded_lists), `of ${plural(engine.lists, 'list')}`),
    tile(
      'Memory',
      bytes(memory.resident_bytes),
      memory.gpu_bytes === null
        ? 'resident'
        : `GPU ${bytes(memory.gpu_bytes)} of ${bytes(memory.gpu_bytes_max)}`,
    ),
    tile(
      'Batches',
      engine.batches
        ? (engine.batches.requests / Math.max(1, engine.batches.batches)).toFixed(1)
        : '–',
      engine.batches ? `a batch; largest ${engine.batches.largest}` : 'the CPU ranks one by one',
    ),
    tile('Device', engine.device, engine.faiss),
    tile('Up', duration(engine.uptime_ms), `fovea ${engine.version}`),
  ];
}

function stages({recent}) {
  const names = [...new Set([...Object.keys(kNames), ...Object.keys(recent.stage_us)])].filter(
    (name) => recent.stage_us[name],
  );
  return table(
    'Time by stage',
    ['stage', 'p50', 'p99'],
    [
      ...names.map((name) => [
        name,
        milliseconds(recent.stage_us[name].p50),
        milliseconds(recent.stage_us[name].p99),
      ]),
      ...(recent.lists > 0
        ? [['all', milliseconds(recent.total_us.p50), milliseconds(recent.total_us.p99)]]
        : []),
    ],
    [false, true, true],
  );
}

function methods({requests}) {
  return table(
    'Requests by method',
    ['method', 'answered', 'invalid', 'overloaded', 'unavailable', 'failed'],
    requests.map((of) => [
      of.method,
      whole(of.ok),
      whole(of.invalid),
      whole(of.overloaded),
      whole(of.unavailable),
      whole(of.failed),
    ]),
    [false, true, true, true, true, true],
  );
}

function indexes(list) {
  return table(
    'Indexes',
    ['index', 'kind', 'main', 'fresh', 'removed', '', ''],
    list.map(({name, kind, main, fresh, removed, rebuilding}) => {
      const all = Math.max(1, main + fresh);
      return [
        name,
        kind,
        whole(main),
        whole(fresh),
        whole(removed),
        el(
          'span',
          {
            class: 'share-bar',
            role: 'img',
            'aria-label': `${percent(fresh / all)} fresh, ${percent(removed / all)} removed`,
          },
          [
            ['main', main - removed],
            ['fresh', fresh],
            ['removed', removed],
          ].map(([part, of]) =>
            el('span', {
              class: part,
              title: `${part}: ${whole(of)}`,
              style: {'--share': Math.max(0, of) / all},
            }),
          ),
        ),
        rebuilding ? el('span', {class: 'badge on'}, 'rebuilding') : '',
      ];
    }),
    [false, false, true, true, true],
  );
}

function quality({metrics, behaviours}) {
  for (const [part, own] of [
    ['test', 'test_ndcg@10'],
    ['validation', 'validation_ranker_ndcg@10'],
  ]) {
    const popular = metrics[`${part}_popular_ndcg@10`];
    if (metrics[own] !== undefined)
      return [
        `${metrics[own].toFixed(4)} (${part})`,
        popular === undefined ? '' : popular.toFixed(4),
      ];
  }
  return [behaviours === 0 ? 'texts only' : 'not measured', ''];
}

function versionTable({versions, rollback}) {
  const rows = versions.toReversed().map((version) => {
    if (version.damaged)
      return [
        version.version,
        el('span', {class: 'failed wrap'}, `damaged: ${version.damaged}`),
        '',
        '',
        '',
        '',
        '',
      ];
    const [own, popular] = quality(version);
    const metrics = Object.entries(version.metrics)
      .map(([name, value]) => `${name} ${+value.toPrecision(5)}`)
      .join('\n');
    return [
      version.version,
      utc(version.trained_ms),
      whole(version.behaviours),
      version.text_encoder,
      el('span', {title: metrics}, own),
      popular,
      version.current
        ? el('span', {class: 'badge on'}, 'serves')
        : writes &&
          el(
            'button',
            {type: 'button', disabled: rollback?.running, onclick: () => rollBack(version.version)},
            'Roll back to this',
          ),
    ];
  });
  return [
    rollback?.running &&
      el('p', {class: 'hint', role: 'status'}, `Rolling back to ${rollback.to} …`),
    rollback?.error &&
      el(
        'p',
        {class: 'failed', role: 'alert'},
        `Not rolled back to ${rollback.to}: ${rollback.error}`,
      ),
    versions.length === 0
      ? notice('', 'No version yet: ', el('code', {}, 'fovea train'), ' makes one while this runs.')
      : table(
          'Model versions, newest first',
          ['version', 'trained', 'behaviours', 'texts by', 'nDCG@10', 'popular', ''],
          rows,
          [false, false, true, false, true, true],
        ),
  ].filter(Boolean);
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

async function look() {
  clearTimeout(timer);
  try {
    const [engine, versions] = await Promise.all([
      call('/console/engine'),
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

function draw({engine}, versions) {
  const rates = looks.map((of, i) => perSecond(of, looks[i - 1]));
  replaceChanged(parts.tiles, tiles(engine, rates.at(-1)));
  replaceChanged(parts.stages, stages(engine));
  replaceChanged(parts.methods, methods(engine));
  replaceChanged(parts.indexes, indexes(engine.indexes));
  const text = JSON.stringify(versions);
  if (text !== parts.versionsText) {
    parts.versionsText = text;
    parts.versions.replaceChildren(...versionTable(versions));
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
      describe: whole,
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
  look();
  return root;
}

export function close() {
  clearTimeout(timer);
  for (const figure of [parts?.rate, parts?.latency, ...(parts?.training.children ?? [])])
    figure?.end?.();
  parts = undefined;
}

export const again = () => look();
