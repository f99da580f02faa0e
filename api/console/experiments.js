// Experiments: those declared, and of one its verdict, its lift so far, its metric by day: the
// numbers of `fovea experiment report`, made by the same code.
import {el, notice} from './elements.js';
import {experimentReport} from './experiment_report.js';
import {call} from './server.js';
import {percent, plural} from './text.js';

const kAskAgainMs = 700;
const kPeriods = ['day', 'hour', 'minute'];

let parts;
let declared = [];
let state = {name: undefined, by: 'day'};
let asked = 0;
let figures = [];

const given = () => `#experiments?${new URLSearchParams({experiment: state.name, by: state.by})}`;

function show({report, as_of_ms}) {
  for (const figure of figures) figure.end();
  const made = experimentReport(report, as_of_ms);
  figures = made.figures;
  parts.report.replaceChildren(...made.elements);
}

/** Asks for the report until it is made; an older one is shown meanwhile. */
async function load() {
  const mine = ++asked;
  history.replaceState(null, '', given());
  parts.report.setAttribute('aria-busy', 'true');
  for (;;) {
    let made;
    try {
      made = await call('/console/report', {experiment: state.name, by: state.by});
    } catch (error) {
      if (mine === asked) {
        parts.report.removeAttribute('aria-busy');
        if (error.status !== 0) parts.report.replaceChildren(notice('failed', error.message));
      }
      return;
    }
    if (mine !== asked) return;
    if (made.report) show(made);
    else if (made.error) parts.report.replaceChildren(notice('failed', made.error));
    if (!made.running) break;
    await new Promise((wake) => {
      setTimeout(wake, kAskAgainMs);
    });
    if (mine !== asked) return;
  }
  parts.report.removeAttribute('aria-busy');
}

function choose(name) {
  state.name = name;
  const of = declared.find(({experiment}) => experiment === name);
  const segments = el(
    'div',
    {class: 'segments', role: 'group', 'aria-label': 'A point of the charts is a'},
    kPeriods.map((by) =>
      el(
        'button',
        {
          type: 'button',
          'aria-pressed': String(by === state.by),
          onclick: () => {
            state.by = by;
            choose(name);
          },
        },
        by,
      ),
    ),
  );
  const report = el('div', {class: 'stack'}, el('div', {class: 'skeleton'}));
  parts.report = report;
  parts.shown.replaceChildren(
    el(
      'div',
      {class: 'row-of'},
      el(
        'div',
        {},
        el('h2', {}, name),
        of &&
          el(
            'p',
            {class: 'hint'},
            [
              `version ${of.version}`,
              of.unit === 'session' ? 'by session' : 'by user',
              of.success && `success: ${of.success}`,
              of.layer && `layer: ${of.layer}`,
              ...of.variants.map(
                ({variant, weight, set}) =>
                  `${variant} ${percent(weight)}${
                    set && Object.keys(set).length > 0
                      ? ` (${Object.entries(set)
                          .map(([key, value]) => `${key} ${JSON.stringify(value)}`)
                          .join(', ')})`
                      : ''
                  }`,
              ),
            ]
              .filter(Boolean)
              .join(' · '),
          ),
      ),
      segments,
    ),
    report,
  );
  for (const a of parts.list.querySelectorAll('a')) {
    if (a.dataset.experiment === name) a.setAttribute('aria-current', 'true');
    else a.removeAttribute('aria-current');
  }
  load();
}

async function list() {
  declared = (await call('/console/experiments')).experiments;
  if (declared.length === 0) {
    parts.root.replaceChildren(
      el('h1', {class: 'hidden'}, 'Experiments'),
      notice(
        '',
        'No experiment is declared. An ',
        el('code', {}, '[[experiment]]'),
        ' in the file that ',
        el('code', {}, 'fovea serve --config'),
        ' reads is one; see ',
        el('code', {}, 'fovea experiment --help'),
        '.',
      ),
    );
    return;
  }
  parts.list.replaceChildren(
    el(
      'ul',
      {},
      declared.map(({experiment, live, variants}) =>
        el(
          'li',
          {},
          el(
            'a',
            {
              href: `#experiments?experiment=${encodeURIComponent(experiment)}`,
              'data-experiment': experiment,
            },
            el('b', {}, experiment),
            el(
              'small',
              {},
              el('span', {class: `badge${live ? ' on' : ''}`}, live ? 'live' : 'not live'),
              ` ${plural(variants.length, 'variant')}`,
            ),
          ),
        ),
      ),
    ),
  );
  choose(
    declared.some(({experiment}) => experiment === state.name)
      ? state.name
      : declared[0].experiment,
  );
}

export async function open(asks) {
  state = {
    name: asks.get('experiment') ?? state.name,
    by: kPeriods.includes(asks.get('by')) ? asks.get('by') : state.by,
  };
  const found = el('div', {class: 'panel found'}, el('div', {class: 'skeleton'}));
  const shown = el('div', {class: 'stack'});
  parts = {
    root: el(
      'div',
      {},
      el('h1', {class: 'hidden'}, 'Experiments'),
      el('div', {class: 'looking'}, found, shown),
    ),
    list: found,
    shown,
    report: shown,
  };
  list().catch((error) => parts.root.replaceChildren(notice('failed', error.message)));
  return parts.root;
}

export function close() {
  ++asked;
  for (const figure of figures) figure.end();
  figures = [];
}

export const again = () => list().catch(() => {});
