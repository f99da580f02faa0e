// A ranked list: each item with its place, how that changed and its score as a bar of named parts;
// a click shows the rest (item_details).
import {el, svg} from './elements.js';
import {item as itemOf} from './catalogue.js';
import {itemDetails} from './item_details.js';
import {largestFirst, partClass, partsOf, scoreText} from './score_parts.js';
import {plural, signed, titleOf} from './text.js';

const kGoneNamed = 6;

/** The range that the bars of a list share: the sums of what lowers and of what raises a score. */
function extent(items) {
  let low = 0;
  let high = 1e-9;
  for (const {explanation} of items) {
    const values = Object.values(explanation.parts);
    low = Math.min(
      low,
      values.reduce((sum, value) => sum + Math.min(0, value), 0),
    );
    high = Math.max(
      high,
      values.reduce((sum, value) => sum + Math.max(0, value), 0),
    );
  }
  return {low, high};
}

/** Parts that raise the score to the right of zero, those that lower it to the left. */
function bar(ranked, {low, high}) {
  const share = (value) => `${((100 * value) / (high - low)).toFixed(3)}%`;
  const chart = svg('svg', {class: 'bar', role: 'img', 'aria-label': scoreText(ranked)});
  let left = -low;
  let right = -low;
  for (const [name, value] of largestFirst(ranked.explanation.parts)) {
    if (value < 0) left += value;
    const place = {x: share(value < 0 ? left : right), width: share(Math.abs(value))};
    const title = svg('title', {}, `${name} ${signed(value)}`);
    chart.append(svg('rect', {...place, height: '100%', class: partClass(name)}, title));
    if (value > 0) right += value;
  }
  const zero = share(-low);
  chart.append(svg('line', {x1: zero, x2: zero, y1: '-20%', y2: '120%', class: 'zero'}));
  return chart;
}

/** The colours of the parts that a list has. */
export function legend(items) {
  const entries = partsOf(items).map((name) => el('li', {class: partClass(name)}, name));
  return el('ul', {class: 'legend', 'aria-label': 'Parts of a score'}, entries);
}

/** How a place changed; `before` counts from 0, undefined: it was not among those known. */
function change(before, now) {
  if (before === now) return el('span', {class: 'change'});
  if (before === undefined) {
    return el('span', {class: 'change up', title: 'was further down'}, 'new');
  }
  const up = before > now;
  const by = `${up ? '▲' : '▼'}\u2009${Math.abs(before - now)}`;
  return el('span', {class: `change ${up ? 'up' : 'down'}`, title: `was at ${before + 1}`}, by);
}

/**
 * Rows of `items`, which are explained. `before`: places by item id, to tell changes from; absent:
 * none are told. `strips`: a heat map's, one for each. `actions`: what can be done with an item;
 * `onact(id, action, value)` does it. `open`: whose details are seen; `onopen(id or undefined)`.
 */
export function rankedList({items, before, strips, actions, onact, nameOf, open, onopen}) {
  const range = extent(items);
  const row = (ranked, place) => {
    const {item_id: id} = ranked;
    const {title, rest} = titleOf(itemOf(id), id);
    const details = el('div', {class: 'details', id: `details-${place}`, hidden: true});
    const toggle = el(
      'button',
      {type: 'button', class: 'toggle', 'aria-controls': details.id},
      el('span', {class: 'place'}, place + 1),
      before && change(before.get(id), place),
      el('span', {class: 'named'}, el('b', {}, title), el('small', {}, rest)),
      el('span', {class: 'score number'}, ranked.score.toFixed(2)),
      bar(ranked, range),
    );
    const see = (seen) => {
      details.hidden = !seen;
      toggle.setAttribute('aria-expanded', String(seen));
      if (!seen || details.firstChild) return;
      const act = (action, value) => onact(id, action, value);
      const given = {ranked, title, size: items.length, actions, onact: act, nameOf};
      details.append(...itemDetails(given));
    };
    toggle.addEventListener('click', () => {
      see(details.hidden);
      onopen?.(details.hidden ? undefined : id);
    });
    see(open === id);
    return el('li', {class: 'row', 'data-item': id}, strips?.[place], toggle, details);
  };
  return el('ol', {class: `ranking${strips ? ' with-heat' : ''}`}, items.map(row));
}

/**
 * What became of the items that were among the first of the list before and are no more; undefined:
 * there are none. `before`, `after`: places by item id.
 */
export function left({items, before, after, nameOf}) {
  const now = new Set(items.map(({item_id: id}) => id));
  const gone = [...before].filter(([id, place]) => place < items.length && !now.has(id));
  if (gone.length === 0) return undefined;
  const named = gone
    .slice(0, kGoneNamed)
    .flatMap(([id], i) => [
      i > 0 && ', ',
      el('b', {}, nameOf(id)),
      after.has(id) && ` (now ${after.get(id) + 1})`,
    ]);
  const more = gone.length - kGoneNamed;
  const others = more > 0 ? ` and ${plural(more, 'other')}` : '';
  return el('p', {class: 'left hint'}, `Left the first ${items.length}: `, named, `${others}.`);
}
