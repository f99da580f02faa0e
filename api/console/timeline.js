// What a user did, newest first, with how much the list as a whole attends to each; a behaviour can
// be struck out and put back.
import {el} from './elements.js';
import {percent, plural, when} from './text.js';

/** A behaviour by what an explanation names it by. */
export const keyOf = ({item_id: item, action, time_ms: time}) => `${time} ${action} ${item}`;

const day = (ms) => new Date(ms).toISOString().slice(0, 10);

function kindOf(out, weight) {
  if (out) return {kind: ' struck', title: 'struck out'};
  if (weight === undefined) return {kind: ' unread', title: 'no attention'};
  return {kind: '', title: `${percent(weight)} of all attention`};
}

/** `share` 0 .. 1, of the heaviest; `onpoint` and `onstrike` are told the behaviour. */
function entry({behaviour, out, weight, share, name, onpoint, onstrike}) {
  const {action, value, time_ms: time} = behaviour;
  const {kind, title} = kindOf(out, weight);
  const label = out ? 'Put back' : 'Strike out';
  const number = value === undefined ? '' : ` ${+value.toPrecision(6)}`;
  return el(
    'li',
    {
      class: `behaviour${kind}`,
      'data-key': keyOf(behaviour),
      onpointerenter: () => onpoint(behaviour),
      onpointerleave: () => onpoint(),
    },
    el('span', {class: 'share', style: {'--share': share}, title}),
    el(
      'span',
      {class: 'what'},
      el('b', {title: name}, name),
      el('small', {}, `${action}${number}, ${when(time)}`),
    ),
    el(
      'button',
      {
        type: 'button',
        class: 'strike',
        'aria-pressed': String(out),
        title: label,
        'aria-label': `${label}: ${action} of ${name}`,
        onclick: () => onstrike(behaviour),
      },
      out ? '↺' : '✕',
    ),
  );
}

/**
 * The list, and that there are so many `older` ones. `weightOf(behaviour)` is its mean weight over
 * the ranked list, undefined where nothing attends to it; `onpoint(behaviour or undefined)`,
 * `onstrike(behaviour)`.
 */
export function timeline({behaviours, older, struck, weightOf, nameOf, onpoint, onstrike}) {
  const weights = behaviours.map(weightOf);
  const most = Math.max(1e-9, ...weights.map((weight) => weight ?? 0));
  const entries = [];
  for (const [i, behaviour] of behaviours.entries()) {
    const date = day(behaviour.time_ms);
    if (i === 0 || date !== day(behaviours[i - 1].time_ms)) {
      const time = el('time', {datetime: date}, date);
      entries.push(el('li', {class: 'day', role: 'presentation'}, time));
    }
    const out = struck.has(keyOf(behaviour));
    const share = (weights[i] ?? 0) / most;
    const name = nameOf(behaviour.item_id);
    entries.push(entry({behaviour, out, weight: weights[i], share, name, onpoint, onstrike}));
  }
  const list = {class: 'timeline', tabindex: 0, 'aria-label': 'Behaviours, newest first'};
  const unread =
    older +
    behaviours.filter((behaviour, i) => weights[i] === undefined && !struck.has(keyOf(behaviour)))
      .length;
  if (unread === 0 || unread === behaviours.length + older) return [el('ol', list, entries)];
  const said = `${plural(unread, 'behaviour')} got no attention: the model reads the newest.`;
  return [el('ol', list, entries), el('p', {class: 'hint'}, said)];
}
