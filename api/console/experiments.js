// Experiments: those declared, and of one its verdict, its lift so far, its metric by day: the
// numbers of `fovea experiment report`, made by the same code.
import {chart} from './charts.js';
import {el, notice, table} from './elements.js';
import {call} from './server.js';
import {lift, pValue, percent, plural, utc, whole} from './text.js';

const kAskAgainMs = 700;
const kPeriods = ['day', 'hour', 'minute'];

let parts;
let declared = [];
let state = {name: undefined, by: 'day'};
let asked = 0;
let figures = [];

const given = () => `#experiments?${new URLSearchParams({experiment: state.name, by: state.by})}`;

const interval = ([low, high], write) => `${write(low)} to ${write(high)}`;
const unitOf = ({unit}) => (unit === 'session' ? 'session' : 'user');
const plain = (value) => +value.toPrecision(5);

function metricName({metric, action}, report) {
  const unit = unitOf(report);
  return (
    {
      successes_per_unit: `“${action}” per ${unit}`,
      converted: `share of ${unit}s with a “${action}”`,
      value_per_unit: `value of “${action}” per ${unit}`,
      successes_per_exposure: `“${action}” per exposure`,
    }[metric] ?? `guardrail: “${action}” per ${unit}`
  );
}

function metricRows(report) {
  return report.metrics.flatMap((metric) =>
    metric.variants.map(({name, mean, against_control: against}, v) => {
      const estimate = against?.relative ?? against?.absolute;
      const write = against?.relative ? lift : plain;
      return [
        v === 0 ? el('b', {}, metricName(metric, report)) : '',
        name,
        mean === undefined ? '–' : plain(mean),
        estimate
          ? write(estimate.estimate)
          : against?.not_compared
            ? el('span', {class: 'wrap'}, against.not_compared)
            : '',
        estimate ? interval(estimate.ci, write) : '',
        estimate ? pValue(estimate.p_value) : '',
        estimate ? pValue(against.adjusted_p_value) : '',
        against?.with_cuped
          ? `${write(against.with_cuped.estimate)} (${interval(against.with_cuped.ci, write)})`
          : '',
      ];
    }),
  );
}

function drawings(report) {
  const labels = report.periods.map(({begins}) => begins);
  const [control, ...treatments] = report.variants.map(({name}) => name);
  const line = (name, of) => {
    const values = report.periods.map((period) =>
      of(period.variants.find((variant) => variant.name === name)),
    );
    return {
      name,
      values: values.map((value) => value?.estimate ?? null),
      low: values.map((value) => value?.ci[0] ?? null),
      high: values.map((value) => value?.ci[1] ?? null),
    };
  };
  const level = `${+(100 * (1 - report.alpha)).toPrecision(4)} %`;
  return [
    chart({
      caption:
        `Lift of “${report.success}” so far against ${control}, ` +
        `with its ${level} confidence sequence`,
      labels,
      describe: lift,
      lines: treatments.map((name) => line(name, ({lift_so_far: of}) => of)),
    }),
    chart({
      caption:
        `“${report.success}” per exposed ${unitOf(report)} in the ${report.period}, ` +
        `with ${level} intervals`,
      labels,
      describe: plain,
      lines: [control, ...treatments].map((name) =>
        line(name, ({mean, ci}) => (mean === undefined ? undefined : {estimate: mean, ci})),
      ),
    }),
    chart({
      caption: `Exposed ${unitOf(report)}s so far`,
      labels,
      describe: whole,
      lines: [control, ...treatments].map((name) => ({
        name,
        values: report.periods.map(
          ({variants}) => variants.find((variant) => variant.name === name).units,
        ),
      })),
    }),
  ];
}

function split({sample_ratio: ratio, left_out: out}) {
  const told = [
    !ratio
      ? 'The declared weights are not known, so the split is not checked.'
      : ratio.mismatch
        ? `Sample ratio mismatch: the split is not the declared one (p ${pValue(ratio.p_value)}).`
        : `The split is as declared (p ${pValue(ratio.p_value)}).`,
  ];
  for (const [key, why] of [
    ['crossovers', 'saw two variants'],
    ['undeclared', 'saw a variant that is not declared'],
    ['other_versions', 'saw another version'],
  ]) {
    if (out[key] > 0) told.push(`${whole(out[key])} left out: ${why}.`);
  }
  return el('p', {class: ratio?.mismatch ? 'warning' : 'hint'}, told.join(' '));
}

function page(report, as_of) {
  for (const figure of figures) figure.end();
  figures = report.interleaved || report.periods.length === 0 ? [] : drawings(report);
  const variants = report.variants;
  return [
    report.verdicts.length === 0
      ? notice('', 'Nothing is to be said yet.')
      : report.verdicts.map(({verdict, sentence}) =>
          el('p', {class: `verdict ${verdict}`}, sentence),
        ),
    split(report),
    figures.length > 0 && el('div', {class: 'charts'}, figures),
    el(
      'div',
      {class: 'panel'},
      table(
        'Who saw what',
        ['variant', 'weight', 'units', 'exposures', 'acted', 'converted', ''],
        variants.map((v) => [
          v.name,
          v.weight,
          whole(v.units),
          whole(v.exposures),
          whole(v.acted),
          whole(v.converted),
          v.units > 0 ? percent(v.converted / v.units) : '',
        ]),
        [false, true, true, true, true, true, true],
      ),
    ),
    report.metrics?.length > 0 &&
      el(
        'div',
        {class: 'panel'},
        table(
          'Metrics',
          ['', 'variant', 'mean', 'lift', 'interval', 'p', 'adjusted p', 'with CUPED'],
          metricRows(report),
          [false, false, true, true, true, true, true, true],
        ),
      ),
    report.preferences?.length > 0 &&
      el(
        'div',
        {class: 'panel'},
        table(
          `Interleaved, against ${variants[0].name}`,
          ['variant', 'units', 'wins', 'losses', 'draws', 'share of wins', 'interval', 'p'],
          report.preferences.map((p) => [
            p.variant,
            whole(p.units),
            whole(p.wins),
            whole(p.losses),
            whole(p.draws),
            plain(p.share_of_wins.estimate),
            interval(p.share_of_wins.ci, plain),
            pValue(p.share_of_wins.p_value),
          ]),
          [false, true, true, true, true, true, true, true],
        ),
      ),
    el(
      'p',
      {class: 'hint'},
      `As of ${utc(as_of)}, as fovea experiment report --by ${report.period} has it.`,
    ),
  ]
    .flat()
    .filter(Boolean);
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
    if (made.report) parts.report.replaceChildren(...page(made.report, made.as_of_ms));
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
