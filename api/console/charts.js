// Line charts by Chart.js, in the page's colours; fetched when the first one is drawn.
import {el} from './elements.js';

const kColours = [
  '--retrieval',
  '--attention',
  '--transitions',
  '--interaction',
  '--popularity',
  '--other',
];
const charts = new Set();
let library;

function load() {
  library ??= new Promise((resolve, reject) => {
    const script = el('script', {
      src: '/console/chart.min.js',
      onload: resolve,
      onerror: () => {
        library = undefined;
        reject(new Error('The charts could not be loaded.'));
      },
    });
    document.head.append(script);
  });
  return library;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The page's colours are read anew when people switch between light and dark. */
function dress(chart) {
  const {options, data} = chart;
  for (const axis of Object.values(options.scales)) {
    axis.grid = {...axis.grid, color: colour('--line'), borderColor: colour('--line')};
    axis.ticks = {...axis.ticks, color: colour('--quiet')};
    if (axis.title) axis.title.color = colour('--quiet');
  }
  options.plugins.legend.labels.color = colour('--text');
  for (const set of data.datasets) {
    const of = colour(set.colour);
    set.borderColor = set.band ? 'transparent' : of;
    set.pointBackgroundColor = set.pointBorderColor = of;
    set.backgroundColor = set.band
      ? `color-mix(in srgb, ${of} ${set.type === 'bar' ? 45 : 18}%, transparent)`
      : of;
  }
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const chart of charts) {
    dress(chart);
    chart.update('none');
  }
});

const kBarsMax = 12; // so few points have each a bar for its interval; a band would hardly be seen

function datasets(lines) {
  return lines.flatMap(({name, values, low, high}, i) => {
    const line = {
      label: name,
      data: values,
      colour: kColours[i % kColours.length],
      borderWidth: 2,
      pointRadius: values.length > 40 ? 0 : 3,
      tension: 0,
      spanGaps: false,
    };
    if (!low) return [line];
    if (values.length <= kBarsMax) {
      return [
        line,
        {
          type: 'bar',
          label: `${name}, low`,
          data: low.map((from, at) => (from === null ? null : [from, high[at]])),
          colour: line.colour,
          band: true,
          barThickness: 3,
          grouped: false,
        },
      ];
    }
    const edge = {
      colour: line.colour,
      band: true,
      pointRadius: 0,
      pointHitRadius: 0,
      borderWidth: 0,
    };
    return [
      line,
      {...edge, label: `${name}, low`, data: low, fill: '+1'},
      {...edge, label: `${name}, high`, data: high, fill: false},
    ];
  });
}

/**
 * A figure: lines of {name, values, low, high} over `labels`, with `low` and `high` a band around
 * them; null where there is no value. `describe(value)` writes a value of the tooltip and the axis.
 * Its update({labels, lines}) draws others.
 */
export function chart({caption, labels, lines, describe = (value) => value, zero = true}) {
  const canvas = el('canvas', {role: 'img', 'aria-label': caption});
  const figure = el(
    'figure',
    {class: 'panel'},
    el('figcaption', {}, caption),
    el('div', {class: 'chart'}, canvas),
  );
  let drawn;
  let wanted = {labels, lines};
  const ready = load()
    .then(() => {
      if (!canvas.isConnected && !figure.isConnected) return; // the view has gone
      drawn = new window.Chart(canvas, {
        type: 'line',
        data: {labels: wanted.labels, datasets: datasets(wanted.lines)},
        options: {
          animation: false,
          responsive: true,
          maintainAspectRatio: false,
          normalized: true,
          interaction: {mode: 'index', intersect: false},
          scales: {
            x: {
              ticks: {maxRotation: 0, autoSkipPadding: 18},
              grid: {display: false},
              offset: lines.some(({low, values}) => low && values.length <= kBarsMax),
            },
            y: {
              beginAtZero: zero,
              ticks: {callback: describe, maxTicksLimit: 6},
            },
          },
          plugins: {
            legend: {
              display: lines.length > 1,
              position: 'bottom',
              labels: {boxWidth: 12, filter: ({text}) => !/, (low|high)$/.test(text)},
            },
            tooltip: {
              filter: ({dataset}) => !dataset.band,
              callbacks: {
                label: ({dataset, parsed, dataIndex}) => {
                  const line = wanted.lines.find(({name}) => name === dataset.label);
                  const range =
                    line?.low?.[dataIndex] != null
                      ? ` (${describe(line.low[dataIndex])} to ${describe(line.high[dataIndex])})`
                      : '';
                  return `${dataset.label}: ${describe(parsed.y)}${range}`;
                },
              },
            },
          },
        },
      });
      charts.add(drawn);
      dress(drawn);
      drawn.update('none');
    })
    .catch((error) => canvas.replaceWith(el('p', {class: 'empty failed'}, error.message)));
  figure.update = (next) => {
    wanted = next;
    ready.then(() => {
      if (!drawn) return;
      drawn.data = {labels: next.labels, datasets: datasets(next.lines)};
      drawn.options.plugins.legend.display = next.lines.length > 1;
      dress(drawn);
      drawn.update('none');
    });
  };
  figure.end = () => {
    if (!drawn) return;
    charts.delete(drawn);
    drawn.destroy();
    drawn = undefined;
  };
  return figure;
}
