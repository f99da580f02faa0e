// What a user did, newest first, with how much the list as a whole attends to each; a behaviour can
// be struck out and put back.
import {el} from './elements.js';
import {percent, plural, when} from './text.js';

/** A behaviour by what an explanation names it by. */
export const keyOf = ({item_id: item, action, time_ms: time}) => `${time} ${action} ${item}`;

const day = (ms) => new Date(ms).toISOString().slice(0, 10);

/**
 * The list. `share(behaviour)` is its mean weight, undefined where the model did not read it;
 * `onpoint(behaviour or nothing)`, `onstrike(behaviour)`.
 */
export function timeline({behaviours, struck, share, nameOf, onpoint, onstrike}) {
  const most = Math.max(1e-9, ...behaviours.map((behaviour) => share(behaviour) ?? 0));
  const entries = [];
  let last;
  for (const behaviour of behaviours) {
    const {action, value, time_ms: time} = behaviour;
    if (day(time) !== last) {
      last = day(time);
      entries.push(el('li', {class: 'day', role: 'presentation'}, el('time', {datetime: last}, last)));
    }
    const key = keyOf(behaviour);
    const out = struck.has(key);
    const weight = share(behaviour);
    const name = nameOf(behaviour.item_id);
    entries.push(el('li', {class: `behaviour${out ? ' struck' : ''}${weight === undefined && !out ? ' unread' : ''}`, 'data-key': key,
      onpointerenter: () => onpoint(behaviour), onpointerleave: () => onpoint()},
    el('span', {class: 'share', style: {'--share': weight === undefined ? 0 : weight / most},
      title: weight === undefined ? (out ? 'struck out' : 'not read by the model') : `${percent(weight)} of all attention`}),
    el('span', {class: 'what'}, el('b', {title: name}, name),
      el('small', {}, `${action}${value === undefined ? '' : ` ${+value.toPrecision(6)}`}, ${when(time)}`)),
    el('button', {type: 'button', class: 'strike', 'aria-pressed': String(out), title: out ? 'Put back' : 'Strike out',
      'aria-label': `${out ? 'Put back' : 'Strike out'}: ${action} of ${name}`, onclick: () => onstrike(behaviour)}, out ? '↺' : '✕')));
  }
  const unread = behaviours.filter((behaviour) => share(behaviour) === undefined && !struck.has(keyOf(behaviour))).length;
  return [el('ol', {class: 'timeline', tabindex: 0, 'aria-label': 'Behaviours, newest first'}, entries),
    ...(unread > 0 && unread < behaviours.length
      ? [el('p', {class: 'hint'}, `${plural(unread, 'behaviour')} got no attention: the model reads the newest alone.`)] : [])];
}
