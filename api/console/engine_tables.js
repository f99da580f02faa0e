// What /console/engine and /console/versions tell, as tiles and tables.
import {el, notice, table} from './elements.js';
import {bytes, duration, milliseconds, percent, plural, utc, whole} from './text.js';

const kStages = ['history', 'candidates', 'rerank', 'respond'];

const sumOf = (list, name) => list.reduce((sum, entry) => sum + entry[name], 0);

/** All requests since the start, however they ended. */
export const requestsOf = ({requests}) =>
  requests.reduce(
    (sum, {ok, invalid, overloaded, unavailable, failed}) =>
      sum + ok + invalid + overloaded + unavailable + failed,
    0,
  );
function tile(name, value, more) {
  return el(
    'div',
    {class: 'tile'},
    el('dt', {}, name),
    el('dd', {}, value, el('small', {}, more ?? '')),
  );
}

export function tiles(engine, rate) {
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

export function stages({recent}) {
  const names = [...new Set([...kStages, ...Object.keys(recent.stage_us)])].filter(
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

export function methods({requests}) {
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

export function indexes(list) {
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

/** `onrollback(version)` is called for what is clicked; absent: nothing can be. */
export function versionTable({versions, rollback}, onrollback) {
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
        : onrollback &&
          el(
            'button',
            {
              type: 'button',
              disabled: rollback?.running,
              onclick: () => onrollback(version.version),
            },
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
