// An experiment's report: its verdict, whether the split was kept, its charts and its numbers.
import {chart} from './charts.js';
import {el, notice, table} from './elements.js';
import {lift, percent, pValue, utc, whole} from './text.js';

const interval = ([low, high], write) => `${write(low)} to ${write(high)}`;
const unitOf = ({unit}) => (unit === 'session' ? 'session' : 'user');
const withCuped = ({estimate, ci}, write) =>
  el('span', {class: 'wrap'}, `${write(estimate)} (${interval(ci, write)})`);
const byWhat = ({period}) => (period ? ` --by ${period}` : '');
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
        against?.with_cuped ? withCuped(against.with_cuped, write) : '',
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

function split({sample_ratio: ratio, interleaved, left_out: out}) {
  const told = [];
  if (ratio) {
    const p = pValue(ratio.p_value);
    told.push(
      ratio.mismatch
        ? `Sample ratio mismatch: the split is not the declared one (p ${p}).`
        : `The split is as declared (p ${p}).`,
    );
  } else if (!interleaved) {
    told.push('The declared weights are not known, so the split is not checked.');
  }
  for (const [key, why] of [
    ['crossovers', 'saw two variants'],
    ['undeclared', 'saw a variant that is not declared'],
    ['other_versions', 'saw another version'],
  ]) {
    if (out[key] > 0) told.push(`${whole(out[key])} left out: ${why}.`);
  }
  return told.length > 0 && el('p', {class: ratio?.mismatch ? 'warning' : 'hint'}, told.join(' '));
}

function whoSawWhat({variants}) {
  const heads = ['variant', 'weight', 'units', 'exposures', 'acted', 'converted', ''];
  const rows = variants.map(({name, weight, units, exposures, acted, converted}) => [
    name,
    weight,
    whole(units),
    whole(exposures),
    whole(acted),
    whole(converted),
    units > 0 ? percent(converted / units) : '',
  ]);
  const numbers = [false, true, true, true, true, true, true];
  return el('div', {class: 'panel'}, table('Who saw what', heads, rows, numbers));
}

function metrics(report) {
  const heads = ['', 'variant', 'mean', 'lift', 'interval', 'p', 'adjusted p', 'with CUPED'];
  const numbers = [false, false, true, true, true, true, true, true];
  return el('div', {class: 'panel'}, table('Metrics', heads, metricRows(report), numbers));
}

function preferences({interleaved}) {
  const heads = ['variant', 'units', 'wins', 'losses', 'draws', 'share of wins', 'interval', 'p'];
  const rows = interleaved.map(({variant, units, wins, losses, draws, share_of_wins: share}) => [
    variant,
    whole(units),
    whole(wins),
    whole(losses),
    whole(draws),
    plain(share.estimate),
    interval(share.ci, plain),
    pValue(share.p_value),
  ]);
  const numbers = [false, true, true, true, true, true, true, true];
  const caption = 'Interleaved lists: credit against the control’s';
  return el('div', {class: 'panel'}, table(caption, heads, rows, numbers));
}

/** A report in the JSON of `fovea experiment report`: its elements, and among them the charts. */
export function experimentReport(report, as_of_ms) {
  const figures = report.periods?.length > 0 ? drawings(report) : [];
  const verdicts = report.verdicts.map(({verdict, sentence}) =>
    el('p', {class: `verdict ${verdict}`}, sentence),
  );
  const elements = [
    ...(verdicts.length > 0 ? verdicts : [notice('', 'Nothing is to be said yet.')]),
    split(report),
    figures.length > 0 && el('div', {class: 'charts'}, figures),
    ...(report.interleaved ? [preferences(report)] : [whoSawWhat(report), metrics(report)]),
    el(
      'p',
      {class: 'hint'},
      `As of ${utc(as_of_ms)}, as fovea experiment report${byWhat(report)} has it.`,
    ),
  ];
  return {elements: elements.filter(Boolean), figures};
}
