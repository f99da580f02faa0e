// Ask: one user's behaviours, the list ranked from them, and the attention between the two. A known
// user's list is looked at without a trace; nobody's session lies in the page alone.
import {item as itemOf, learn} from './catalogue.js';
import {correction, el, notice} from './elements.js';
import {HeatMap} from './heat_map.js';
import {Question} from './question.js';
import {questionForm} from './question_form.js';
import {left, legend, rankedList} from './ranked_list.js';
import {call} from './server.js';
import {milliseconds, percent, plural, titleOf, when} from './text.js';
import {keyOf, timeline} from './timeline.js';

const kPlaces = 200; // how far down a change of place is known
const kHistory = 1000; // as many as a session may have
const kListed = 200; // of these, those that are named
const kColumns = 80;
const kWide = '(min-width: 900px)';

const kIntroduction =
  'Across: behaviours, newest first; down: ranked items. The stronger a colour, the more ' +
  'attention. Arrow keys move, x strikes out.';
const kNoAttention =
  'No item attends to a behaviour: nothing is known of whoever asks, or no ranker was at work.';
const kNothingLeft = 'Nothing is left to rank: loosen the filter, or ask for somebody else.';
const kEmpty = 'The catalogue is empty: putItems or fovea import fill it.';

let parts; // the view's elements; undefined until it was shown
let question = new Question();
let actions = []; // what can be done with an item
let writes = false;
let empty = false; // the catalogue
let asked = 0; // of several requests under way the last one counts
let shown; // places by item id, of the list that changes are told from
let opened; // the id of the item whose details are seen
let address;

const nameOf = (id) => titleOf(itemOf(id), id).title;
const placesOf = ({items}) => new Map(items.map(({item_id: id}, place) => [id, place]));

/** Newest first: the store's, or the session's. */
async function behavioursOf() {
  if (question.user === undefined) return [...question.session].reverse();
  return (await call('/v1/history', {user_id: question.user, limit: kHistory})).events;
}

/**
 * Asks and shows. `because`: "act" and "strike" tell how places changed since the list before;
 * without it this is another list. `said` is told beside the times.
 */
async function ask(because, said) {
  const mine = ++asked;
  parts.results.setAttribute('aria-busy', 'true');
  try {
    const behaviours = await behavioursOf();
    const begin = performance.now();
    const [ranked, further] = await Promise.all([
      call('/v1/rank', question.toRequest(behaviours, {explain: true})),
      call('/v1/rank', question.toRequest(behaviours, {limit: kPlaces})),
    ]);
    const took_ms = performance.now() - begin;
    await learn([
      ...ranked.items.map(({item_id: id}) => id),
      ...behaviours.slice(0, kListed).map(({item_id: id}) => id),
      ...(because && shown ? [...shown.keys()].slice(0, ranked.items.length) : []),
    ]);
    if (mine !== asked) return;
    parts.form.complain();
    show({behaviours, ranked, places: placesOf(further), because, said, took_ms});
  } catch (error) {
    if (mine === asked) refused(error);
  } finally {
    if (mine === asked) parts.results.removeAttribute('aria-busy');
  }
}

/** Another list than before. */
function askAnew() {
  shown = undefined;
  opened = undefined;
  question.struck.clear();
  history.replaceState(null, '', question.toAddress());
  ask();
}

function refused(error) {
  if (parts.form.complain(error)) return;
  if (error.status === 0 && shown) return; // the banner says it, and the list stays
  shown = undefined;
  parts.results.replaceChildren(notice('failed', error.message));
}

const introduction = () => (parts.heat.columns.length > 0 ? kIntroduction : kNoAttention);

/** Columns are the behaviours that any of the items attends to. */
function heatMap(items, behaviours) {
  const weights = items.map(
    ({explanation}) => new Map(explanation.attention.map((of) => [keyOf(of), of.weight])),
  );
  const columns = question
    .left(behaviours)
    .filter((behaviour) => weights.some((of) => of.has(keyOf(behaviour))))
    .slice(0, kColumns);
  return new HeatMap({
    columns,
    weights: weights.map((of) => columns.map((behaviour) => of.get(keyOf(behaviour)) ?? 0)),
    names: {
      row: (row) => nameOf(items[row].item_id),
      column: (behaviour) => nameOf(behaviour.item_id),
    },
    onpoint: point,
    onstrike: strike,
  });
}

function show({behaviours, ranked, places, because, said, took_ms}) {
  const {items} = ranked;
  if (question.struck.size === 0) {
    question.variants = Object.fromEntries(
      Object.entries(ranked.variants).filter(([, variant]) => variant !== 'interleaved'),
    );
  }
  const before = because && shown;
  const heat = heatMap(items, behaviours);
  parts.heat = heat;
  parts.readout.textContent = introduction();
  parts.behaviours.replaceChildren(...behaviourList(behaviours, heat));
  parts.results.replaceChildren(
    ...about(ranked, said, took_ms),
    ...(items.length === 0
      ? [notice('', empty ? kEmpty : kNothingLeft)]
      : rows(items, heat, before ?? placesOf(ranked))),
    ...(before ? [left({items, before, after: places, nameOf})].filter(Boolean) : []),
  );
  // While behaviours are struck out, changes are told from the list with all of them.
  if (!before || question.struck.size === 0) shown = places;
}

/** What there is to say of the list as a whole. */
function about({items, stage_us, variants, degraded, degraded_reason, corrected_query}, said, ms) {
  const ranking = Object.values(stage_us).reduce((sum, us) => sum + us, 0);
  const times =
    `${plural(items.length, 'item')} in ${Math.round(ms)} ms, ` +
    `of which the server ranked ${milliseconds(ranking)}`;
  const served = Object.entries(variants).map(([name, variant]) => `${name}: ${variant}`);
  return [
    el('p', {class: 'summary', role: 'status'}, said ? `${said}; ${times}` : times),
    degraded && notice('warning', `Degraded: ${degraded_reason ?? 'a stage was cut short'}`),
    corrected_query && correction(corrected_query),
    served.length > 0 && el('p', {class: 'hint'}, `Experiments: ${served.join(', ')}`),
  ].filter(Boolean);
}

function rows(items, heat, before) {
  const attended = heat.columns.length > 0;
  return [
    el('div', {class: attended ? 'heads' : ''}, attended && axis(heat.columns), legend(items)),
    rankedList({
      items,
      before,
      strips: attended ? heat.strips : undefined,
      actions: writes || question.user === undefined ? actions : [],
      onact: act,
      nameOf,
      open: opened,
      onopen: (id) => {
        opened = id;
      },
    }),
  ];
}

/** Above the strips: which way time runs. */
function axis(columns) {
  return el(
    'p',
    {class: 'axis', 'aria-hidden': 'true', style: {'--columns': columns.length}},
    el('span', {}, `newest, ${when(columns[0].time_ms)}`),
    columns.length > 1 && el('span', {}, when(columns.at(-1).time_ms)),
  );
}

function behaviourList(behaviours, heat) {
  if (behaviours.length === 0) {
    return [
      notice(
        '',
        question.user === undefined
          ? 'Nothing yet: this is a newcomer’s list. Click an item, then what to do with it.'
          : `Nothing is stored of “${question.user}”, so the list is of what is popular.`,
      ),
    ];
  }
  const columns = new Map(heat.columns.map((behaviour, column) => [keyOf(behaviour), column]));
  return timeline({
    behaviours: behaviours.slice(0, kListed),
    older: Math.max(0, behaviours.length - kListed),
    struck: question.struck,
    weightOf: (behaviour) => heat.means[columns.get(keyOf(behaviour))],
    nameOf,
    onpoint: (behaviour) => point(undefined, behaviour && columns.get(keyOf(behaviour))),
    onstrike: strike,
  });
}

/** Says what is pointed at; a column without a row is a behaviour of the whole list. */
function point(row, column) {
  const {heat} = parts;
  heat.point(row, column);
  const behaviour = heat.columns[column];
  const key = behaviour && keyOf(behaviour);
  for (const entry of parts.behaviours.querySelectorAll('.behaviour')) {
    entry.classList.toggle('lit', entry.dataset.key === key);
  }
  if (!behaviour) {
    parts.readout.textContent = introduction();
    return;
  }
  const {item_id: id, action, time_ms: time} = behaviour;
  const sentence =
    row === undefined
      ? `${percent(heat.means[column])} of the whole list’s attention is on “${nameOf(id)}”`
      : heat.sentence(row, column);
  parts.readout.replaceChildren(
    el('b', {}, sentence),
    el('small', {}, `${action}, ${when(time)}. ${itemOf(id)?.text ?? ''}`),
  );
}

function strike(behaviour) {
  const key = keyOf(behaviour);
  if (!question.struck.delete(key)) question.struck.add(key);
  ask('strike');
}

async function act(id, action, value) {
  const event = question.event(id, action, value);
  question.struck.clear();
  if (question.user === undefined) {
    question.session.push({...event, time_ms: Date.now()});
    return ask('act', `${action} of “${nameOf(id)}” added to the session`);
  }
  const begin = performance.now();
  try {
    await call('/v1/events', {events: [event]});
  } catch (error) {
    parts.readout.replaceChildren(el('b', {class: 'failed'}, `Not recorded: ${error.message}`));
    return;
  }
  const took_ms = Math.round(performance.now() - begin);
  ask('act', `${action} of “${nameOf(id)}” recorded in ${took_ms} ms`);
}

function build() {
  const form = questionForm(question, askAnew);
  const behaviours = el('div', {class: 'behaviours'});
  const readout = el('p', {class: 'readout', role: 'status'}, kIntroduction);
  const skeleton = el('div', {class: 'skeleton', 'aria-hidden': 'true'});
  const results = el('div', {class: 'results'}, skeleton);
  const side = el(
    'details',
    {class: 'panel', open: matchMedia(kWide).matches},
    el('summary', {}, el('h2', {}, 'Behaviours')),
    behaviours,
  );
  const list = el('section', {class: 'panel', 'aria-label': 'Ranked list'}, readout, results);
  const root = el(
    'div',
    {},
    el('h1', {class: 'hidden'}, 'Ask'),
    form,
    el('div', {class: 'columns'}, side, list),
  );
  parts = {root, form, behaviours, readout, results};
}

/** Somebody whose taste is known, but not endlessly. */
async function somebody() {
  const {users} = await call('/console/users', {prefix: '', limit: 50});
  const most = Math.max(0, ...users.map(({behaviours}) => behaviours));
  const fits = users.find(({behaviours}) => behaviours >= 20 && behaviours <= 60);
  return (fits ?? users.find(({behaviours}) => behaviours === most))?.user_id;
}

/** The view, as the address says, or as it was left. `engine`: what /console/engine told. */
export async function open(given, engine) {
  actions = engine.actions.filter(({weight}) => weight !== 0);
  writes = engine.console.writes;
  empty = engine.items === 0;
  if (parts && (given.size === 0 || given.toString() === address)) {
    history.replaceState(null, '', question.toAddress());
    return parts.root;
  }
  question = Question.fromAddress(given);
  if (given.size === 0) question.user = await somebody().catch(() => undefined);
  build();
  askAnew();
  return parts.root;
}

/** Remembers what was asked, to tell another link to this view from the way back to it. */
export function close() {
  address = question.toAddress().split('?')[1] ?? '';
}

/** After the server was away: what is shown may be old. */
export const again = () => ask();
