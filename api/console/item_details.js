// All there is to say of an item: its text and attributes, what its score is made of, what it
// attends to, how it was found; and what can be done with it.
import {el} from './elements.js';
import {item as itemOf} from './catalogue.js';
import {largestFirst, partClass} from './score_parts.js';
import {attributeText, percent, signed} from './text.js';

const kHeaviest = 5;
const kSources = {
  vectors: 'by vectors',
  words: 'by words',
  popular: 'as popular',
  candidate: 'as asked for',
  pin: 'as pinned',
};

export function howFound({source, explanation}) {
  const {matched_words: words, similarity} = explanation ?? {};
  const found = [`Found ${kSources[source] ?? source}`];
  if (words?.length > 0) found.push(`has the words ${words.map((w) => `“${w}”`).join(', ')}`);
  if (similarity !== undefined) {
    found.push(`cosine of its text to the query ${similarity.toFixed(3)}`);
  }
  return `${found.join('; ')}.`;
}

/** Undefined where an item has none. */
export function attributesList(item) {
  const entries = Object.entries(item?.attributes ?? {});
  if (entries.length === 0) return undefined;
  const entry = ([name, value]) =>
    el('div', {}, el('dt', {}, name), el('dd', {}, attributeText(value)));
  return el('dl', {class: 'attributes'}, entries.map(entry));
}

export function partsTable({score, explanation}) {
  const row = ([name, value]) =>
    el(
      'tr',
      {},
      el('th', {scope: 'row', class: partClass(name)}, name),
      el('td', {class: 'number'}, signed(value, 3)),
    );
  return el(
    'table',
    {class: 'parts'},
    el('caption', {class: 'hidden'}, 'Parts of the score'),
    el('tbody', {}, largestFirst(explanation.parts).map(row)),
    el(
      'tfoot',
      {},
      el(
        'tr',
        {},
        el('th', {scope: 'row'}, 'score'),
        el('td', {class: 'number'}, score.toFixed(3)),
      ),
    ),
  );
}

/** `size`: of the list, beyond which a place is off the page. */
function attention({attention: heaviest, rank_without_top_event: without}, nameOf, size) {
  if (heaviest.length === 0) return undefined;
  const row = ({item_id: id, action, weight}) =>
    el(
      'li',
      {},
      el('b', {class: 'number'}, percent(weight)),
      el('span', {}, `${nameOf(id)} `, el('small', {}, action)),
    );
  const off = without >= size ? ', off this page' : '';
  return el(
    'div',
    {},
    el('h3', {}, 'Attends to'),
    el('ol', {class: 'attends'}, heaviest.slice(0, kHeaviest).map(row)),
    without !== undefined &&
      el('p', {class: 'hint'}, `Without the first it would stand at ${without + 1}${off}.`),
  );
}

/** A button for each action, and a value that goes with it; `onact(action, value)`. */
function acts(title, actions, onact) {
  const value = el('input', {
    class: 'value',
    type: 'number',
    step: 'any',
    placeholder: 'value',
    'aria-label': 'Value of the action, such as a rating or a price',
  });
  const button = ({action}) =>
    el(
      'button',
      {type: 'button', class: 'act', onclick: () => onact(action, value.valueAsNumber)},
      action,
    );
  return [el('span', {role: 'group', 'aria-label': `Act on ${title}`}, actions.map(button)), value];
}

/** Of a ranked item with its explanation; `actions` may be empty. */
export function itemDetails({ranked, title, size, actions, onact, nameOf}) {
  const {item_id: id, explanation} = ranked;
  const item = itemOf(id);
  return [
    el(
      'div',
      {class: 'acts'},
      actions.length > 0 && acts(title, actions, onact),
      el('a', {href: `#items?item=${encodeURIComponent(id)}`}, 'Open in Items'),
    ),
    el('p', {class: 'text'}, item?.text ?? '', el('small', {}, ` ${id}`)),
    attributesList(item),
    el(
      'div',
      {class: 'why'},
      el('div', {}, el('h3', {}, 'Score'), partsTable(ranked)),
      attention(explanation, nameOf, size),
    ),
    el('p', {class: 'hint'}, howFound(ranked)),
    explanation.rules.length > 0 &&
      el(
        'ul',
        {class: 'rules'},
        explanation.rules.map((rule) => el('li', {}, rule)),
      ),
  ].filter(Boolean);
}
