// A ranked list: each item with its place, how that changed, its score as a bar of named parts, and
// on a click all there is to say of it and what can be done with it.
import {el, svg} from './elements.js';
import {item as itemOf} from './catalogue.js';
import {attributeText, percent, plural, signed, titleOf} from './text.js';

// Colours go by name, so that a part looks the same in every list.
const kParts = ['retrieval', 'attention', 'transitions', 'interaction', 'similarity', 'popularity', 'text',
  'words', 'vectors', 'exact', 'boost', 'disliked', 'ease'];
const partClass = (name) => `part-${kParts.includes(name) ? name : 'other'}`;

const kSources = {
  vectors: 'by vectors', words: 'by words', popular: 'as popular', candidate: 'as asked for', pin: 'as pinned'};

/** What of `parts` there is, largest first. */
const sorted = (parts) => Object.entries(parts).filter(([, value]) => Math.abs(value) >= 0.005)
  .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));

export function scoreText({score, explanation}) {
  return `score ${score.toFixed(2)}` + (explanation
    ? ` = ${sorted(explanation.parts).map(([name, value]) => `${name} ${signed(value)}`).join(', ')}` : '');
}

/** The range that the bars of a list share: the sums of what lowers and of what raises a score. */
function extent(items) {
  let low = 0;
  let high = 1e-9;
  for (const {explanation} of items) {
    const values = Object.values(explanation?.parts ?? {});
    low = Math.min(low, values.reduce((sum, value) => sum + Math.min(0, value), 0));
    high = Math.max(high, values.reduce((sum, value) => sum + Math.max(0, value), 0));
  }
  return {low, high};
}

/** Parts that raise the score to the right of zero, those that lower it to the left. */
function bar(ranked, {low, high}) {
  const share = (value) => `${(100 * value / (high - low)).toFixed(3)}%`;
  const at = {right: -low, left: -low};
  const chart = svg('svg', {class: 'bar', role: 'img', 'aria-label': scoreText(ranked)});
  for (const [name, value] of sorted(ranked.explanation?.parts ?? {})) {
    const length = Math.abs(value);
    if (value < 0) at.left -= length;
    chart.append(svg('rect', {x: share(value < 0 ? at.left : at.right), width: share(length), height: '100%', class: partClass(name)},
      svg('title', {}, `${name} ${signed(value)}`)));
    if (value > 0) at.right += length;
  }
  chart.append(svg('line', {x1: share(-low), x2: share(-low), y1: '-20%', y2: '120%', class: 'zero'}));
  return chart;
}

/** The colours of the parts that a list has. */
export function legend(items) {
  const names = new Set(items.flatMap(({explanation}) => sorted(explanation?.parts ?? {}).map(([name]) => name)));
  const known = kParts.filter((name) => names.has(name));
  const others = [...names].filter((name) => !kParts.includes(name));
  return el('ul', {class: 'legend', 'aria-label': 'Parts of a score'},
    [...known, ...others].map((name) => el('li', {class: partClass(name)}, name)));
}

/** How a place changed; `before` counts from 0, undefined: it was not among those known. */
function change(before, now) {
  if (before === now) return el('span', {class: 'change'});
  if (before === undefined) return el('span', {class: 'change up', title: 'was further down'}, 'new');
  const up = before > now;
  return el('span', {class: `change ${up ? 'up' : 'down'}`, title: `was at ${before + 1}`},
    `${up ? '▲' : '▼'}\u2009${Math.abs(before - now)}`);
}

export function howFound({source, explanation}) {
  const {matched_words: words, similarity} = explanation ?? {};
  return [`Found ${kSources[source] ?? source}`,
    words?.length > 0 && `has the words ${words.map((word) => `“${word}”`).join(', ')}`,
    similarity !== undefined && `cosine of its text to the query ${similarity.toFixed(3)}`].filter(Boolean).join('; ') + '.';
}

export function attributesTable(item) {
  const entries = Object.entries(item?.attributes ?? {});
  return entries.length > 0 && el('dl', {class: 'attributes'}, entries.map(([name, value]) =>
    el('div', {}, el('dt', {}, name), el('dd', {}, attributeText(value)))));
}

export function partsTable({score, explanation}) {
  return explanation && el('table', {class: 'parts'}, el('caption', {class: 'hidden'}, 'Parts of the score'),
    el('tbody', {}, sorted(explanation.parts).map(([name, value]) => el('tr', {}, el('th', {scope: 'row', class: partClass(name)}, name),
      el('td', {class: 'number'}, signed(value, 3))))),
    el('tfoot', {}, el('tr', {}, el('th', {scope: 'row'}, 'score'), el('td', {class: 'number'}, score.toFixed(3)))));
}

function attention(explanation, nameOf, size) {
  const heaviest = (explanation?.attention ?? []).slice(0, 5);
  if (heaviest.length === 0) return undefined;
  const without = explanation.rank_without_top_event;
  return el('div', {}, el('h4', {}, 'Attends to'), el('ol', {class: 'attends'}, heaviest.map(({item_id: id, action, weight}) =>
    el('li', {}, el('b', {class: 'number'}, percent(weight)), el('span', {}, `${nameOf(id)} `, el('small', {}, action))))),
  without !== undefined && el('p', {class: 'hint'},
    `Without the first of these it would stand at ${without + 1}${without >= size ? ', off this page' : ''}.`));
}

/**
 * Rows of `items`. `before`: places by item id, to tell changes from; absent: nothing is told.
 * `strips`: a heat map's, one for each. `actions`: what can be done with an item, `onact(id, action,
 * value)` does it. `onopen(id)` is told which row stands open (undefined: none), `open` is one that does.
 */
export function rankedList({items, before, strips, actions, onact, nameOf, open, onopen}) {
  const range = extent(items);
  const rows = items.map((ranked, place) => {
    const {item_id: id, explanation} = ranked;
    const item = itemOf(id);
    const {title, rest} = titleOf(item, id);
    const details = el('div', {class: 'details', id: `details-${place}`, hidden: open !== id});
    const fill = () => details.replaceChildren(...[
      actions.length > 0 && el('div', {class: 'acts', role: 'group', 'aria-label': `Act on ${title}`}, actions.map(({action}) =>
        el('button', {type: 'button', class: 'act', 'data-action': action, onclick: () =>
          onact(id, action, details.querySelector('input.value').valueAsNumber)}, action)),
      el('input', {class: 'value', type: 'number', step: 'any', placeholder: 'value', 'aria-label': 'Value of the action, such as a rating or a price'}),
      el('a', {href: `#items?item=${encodeURIComponent(id)}`}, 'Open in Items')),
      el('p', {class: 'text'}, item?.text ?? '', el('small', {}, ` ${id}`)),
      attributesTable(item),
      el('div', {class: 'why'}, el('div', {}, el('h4', {}, 'Score'), partsTable(ranked)), attention(explanation, nameOf, items.length)),
      el('p', {class: 'hint'}, howFound(ranked)),
      explanation?.rules.length > 0 && el('ul', {class: 'rules'}, explanation.rules.map((rule) => el('li', {}, rule))),
    ].filter(Boolean));
    const toggle = el('button', {type: 'button', class: 'toggle', 'aria-expanded': String(open === id), 'aria-controls': details.id,
      onclick: () => {
        details.hidden = !details.hidden;
        toggle.setAttribute('aria-expanded', String(!details.hidden));
        if (!details.hidden) fill();
        onopen?.(details.hidden ? undefined : id);
      }},
    el('span', {class: 'place'}, place + 1), before && change(before.get(id), place),
    el('span', {class: 'named'}, el('b', {}, title), el('small', {}, rest)),
    el('span', {class: 'score number'}, ranked.score.toFixed(2)), bar(ranked, range));
    if (open === id) fill();
    return el('li', {class: 'row', 'data-item': id}, strips?.[place], toggle, details);
  });
  return el('ol', {class: `ranking${strips ? ' with-heat' : ''}`}, rows);
}

/** Of the items that were among the first and are no more, what became of them. */
export function left({items, before, after, size, nameOf}) {
  const now = new Set(items.map(({item_id: id}) => id));
  const gone = [...before].filter(([id, place]) => place < size && !now.has(id));
  if (gone.length === 0) return undefined;
  return el('p', {class: 'left hint'}, `Left the first ${size}: `, gone.slice(0, 6).map(([id], i) => [i > 0 && ', ', el('b', {}, nameOf(id)),
    after.has(id) ? ` (now ${after.get(id) + 1})` : '']).flat(), gone.length > 6 && ` and ${plural(gone.length - 6, 'other')}`, '.');
}
