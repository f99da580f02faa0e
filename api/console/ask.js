// Ask: one user's behaviours, the list ranked from them, and the attention between the two. A known
// user's list is looked at without a trace; nobody's session lies in the page alone.
import {item as itemOf, learn} from './catalogue.js';
import {el, field, notice, settled} from './elements.js';
import {HeatMap} from './heat_map.js';
import {left, legend, rankedList} from './ranked_list.js';
import {call} from './server.js';
import {suggestions} from './suggestions.js';
import {milliseconds, plural, titleOf, when} from './text.js';
import {keyOf, timeline} from './timeline.js';

const kListed = 20;
const kPlaces = 200;  // how far down a change of place is known
const kHistory = 500;
const kColumns = 80;

const kIntroduction = 'Across: behaviours, newest first. Down: the ranked items. The stronger a cell’s colour, the more ' +
  'of the item’s attention went there. Point at one, or use the arrow keys; x strikes its behaviour out.';

const state = {
  user: undefined,  // undefined: nobody, whose behaviours are `session`
  session: [],
  query: '', filter: '', diversity: 0, boosts: [],
  struck: new Set(),
  variants: {},     // of the user's own list, so that experiments go on alike without a behaviour
  open: undefined,  // the item whose details are seen
};
// Nobody's name, which no store knows, so that the list is a newcomer's.
const visitor = `visitor-${crypto.randomUUID?.() ?? Math.random().toString(36).slice(2)}`;

let parts;      // the view's elements; undefined until it was shown
let actions = [];
let writes = false;
let asked = 0;  // of several requests under way the last one counts
let shown;      // {places, struck, who} of the list that is seen

const nameOf = (id) => titleOf(itemOf(id), id).title;

/** What was typed, in the address, so that a list can be linked to. */
function remember() {
  const given = new URLSearchParams();
  if (state.user !== undefined) given.set('user', state.user);
  for (const name of ['query', 'filter']) if (state[name]) given.set(name, state[name]);
  if (state.diversity > 0) given.set('diversity', state.diversity);
  if (state.boosts.length > 0) given.set('boosts', JSON.stringify(state.boosts));
  history.replaceState(null, '', `#ask${given.size > 0 ? `?${given}` : ''}`);
}

function recall(given) {
  state.user = given.get('user') ?? undefined;
  state.query = given.get('query') ?? '';
  state.filter = given.get('filter') ?? '';
  state.diversity = Math.min(1, Math.max(0, Number(given.get('diversity')) || 0));
  try {
    state.boosts = JSON.parse(given.get('boosts') ?? '[]').map(({filter, add}) => ({filter: String(filter), add: Number(add)}));
  } catch {
    state.boosts = [];
  }
}

/** Behaviours newest first: the store's, or the session's. */
async function behavioursOf() {
  if (state.user === undefined) return [...state.session].reverse();
  return (await call('/v1/history', {user_id: state.user, limit: kHistory})).events;
}

function request(behaviours, more) {
  const asks = {limit: kListed, preview: true, ...more};
  if (state.query) asks.query = state.query;
  if (state.filter) asks.filter = state.filter;
  if (state.diversity > 0) asks.diversity = state.diversity;
  const boosts = state.boosts.filter(({filter}) => filter !== '');
  if (boosts.length > 0) asks.boosts = boosts;
  if (state.user !== undefined && state.struck.size === 0) return {user_id: state.user, ...asks};
  // The behaviours that are left, as somebody's whom no store knows: as if the others had not happened.
  const session = behaviours.filter((behaviour) => !state.struck.has(keyOf(behaviour))).reverse()
    .map(({item_id, action, time_ms, value}) => ({user_id: visitor, item_id, action, time_ms, value}));
  return {user_id: visitor, session, ...(state.user !== undefined && {variants: state.variants}), ...asks};
}

const placesOf = ({items}) => new Map(items.map(({item_id: id}, place) => [id, place]));

/**
 * Asks and shows. `because`: "act" and "strike" tell how places changed since the list before, other
 * requests are of another list.
 */
async function ask(because, took) {
  const mine = ++asked;
  parts.results.setAttribute('aria-busy', 'true');
  try {
    const behaviours = await behavioursOf();
    const begin = performance.now();
    const [ranked, further] = await Promise.all([
      call('/v1/rank', request(behaviours, {explain: true})), call('/v1/rank', request(behaviours, {limit: kPlaces}))]);
    const took_ms = performance.now() - begin;
    await learn([...ranked.items.map(({item_id: id}) => id), ...behaviours.slice(0, kColumns).map(({item_id: id}) => id),
      ...(shown && because ? [...shown.places.keys()].slice(0, kListed) : [])]);
    if (mine !== asked) return;
    complain();
    show({behaviours, ranked, places: placesOf(further), because, took, took_ms});
  } catch (error) {
    if (mine !== asked) return;
    complain(error);
  } finally {
    if (mine === asked) parts.results.removeAttribute('aria-busy');
  }
}

/** Says at the field that is to blame what the server refused; without one, in place of the list. */
function complain(error) {
  const blamed = {user_id: parts.user, query: parts.query, filter: parts.filter, diversity: parts.diversity, session: parts.user};
  for (const box of Object.values(blamed)) box.complain();
  parts.boosts.complain();
  if (!error) return;
  const at = error.field?.startsWith('boosts') ? parts.boosts : blamed[error.field];
  if (at) {
    at.complain(error.message);
    if (at === parts.filter || at === parts.boosts) parts.more.open = true;
  } else if (error.status !== 0 || !shown) {
    parts.results.replaceChildren(notice('failed', error.message));
    shown = undefined;
  }
}

function show({behaviours, ranked, places, because, took, took_ms}) {
  const {items} = ranked;
  const before = because && shown ? shown.places : undefined;
  const kept = behaviours.filter((behaviour) => !state.struck.has(keyOf(behaviour)));
  const weights = items.map(({explanation}) => new Map(explanation.attention.map((of) => [keyOf(of), of.weight])));
  // Columns: what any of the items attends to.
  const read = kept.filter((behaviour) => weights.some((of) => of.has(keyOf(behaviour)))).slice(0, kColumns);
  const heat = new HeatMap({
    weights: weights.map((of) => read.map((behaviour) => of.get(keyOf(behaviour)) ?? 0)),
    columns: read.length,
    names: {row: (row) => nameOf(items[row].item_id), column: (column) => nameOf(read[column].item_id)},
    onpoint: (row, column) => point(heat, read, row, column),
    onstrike: (column) => strike(read[column]),
  });
  const means = heat.means();
  const shares = new Map(read.map((behaviour, column) => [keyOf(behaviour), means[column]]));

  parts.behaviours.replaceChildren(...behaviourList(behaviours, shares, heat, read));
  parts.readout.textContent = kIntroduction;
  const summary = [`${plural(items.length, 'item')} in ${Math.round(took_ms)} ms`,
    `of which the server ranked ${milliseconds(Object.values(ranked.stage_us).reduce((sum, us) => sum + us, 0))}`];
  if (took) summary.unshift(took);
  const variants = Object.entries(ranked.variants);
  if (state.struck.size === 0) state.variants = Object.fromEntries(variants.filter(([, variant]) => variant !== 'interleaved'));
  parts.results.replaceChildren(...[
    el('p', {class: 'summary', role: 'status'}, summary.join('; ')),
    ranked.degraded && notice('warning', `Degraded: ${ranked.degraded_reason ?? 'a stage was cut short'}`),
    ranked.corrected_query && el('p', {class: 'hint'}, 'No text has these words; searched for ', el('b', {}, ranked.corrected_query), ' instead.'),
    variants.length > 0 && el('p', {class: 'hint'}, 'Experiments: ', variants.map(([name, variant]) => `${name}: ${variant}`).join(', ')),
    items.length === 0 ? notice('', 'Nothing is left to rank: loosen the filter, or ask somebody else.') : [
      el('div', {class: read.length > 0 ? 'heads' : ''}, read.length > 0 && axis(read), legend(items)),
      rankedList({items, before: before ?? placesOf(ranked), strips: read.length > 0 ? heat.strips : undefined, actions: writes || state.user === undefined ? actions : [],
        onact: act, nameOf, open: state.open, onopen: (id) => { state.open = id; }}),
      before && left({items, before, after: places, size: kListed, nameOf})],
  ].flat().filter(Boolean));
  parts.results.classList.toggle('without-heat', read.length === 0);
  // While behaviours are struck out, changes are told from the list with all of them.
  if (because !== 'strike' || !shown || state.struck.size === 0) shown = {places};
}

function behaviourList(behaviours, shares, heat, read) {
  if (behaviours.length === 0) {
    return [notice('', state.user === undefined ? 'Nothing yet: this is a newcomer’s list. Click an item, then what to do with it.'
      : `Nothing is stored of “${state.user}”, so the list is of what is popular.`)];
  }
  return timeline({behaviours: behaviours.slice(0, kHistory), struck: state.struck, nameOf, onstrike: strike,
    share: (behaviour) => shares.get(keyOf(behaviour)),
    onpoint: (behaviour) => {
      const column = behaviour && read.findIndex((of) => keyOf(of) === keyOf(behaviour));
      point(heat, read, undefined, column >= 0 ? column : undefined);
    }});
}

/** Above the strips: which way time runs. */
const axis = (read) => el('p', {class: 'axis', 'aria-hidden': 'true', style: {'--columns': read.length}}, el('span', {}, `newest, ${when(read[0].time_ms)}`),
  read.length > 1 && el('span', {}, when(read.at(-1).time_ms)));

/** Says what is pointed at; a column without a row is a behaviour of the list. */
function point(heat, read, row, column) {
  heat.point(row, column);
  const key = column === undefined ? undefined : keyOf(read[column]);
  for (const entry of parts.behaviours.querySelectorAll('.behaviour')) entry.classList.toggle('lit', entry.dataset.key === key);
  if (column === undefined) {
    parts.readout.textContent = kIntroduction;
  } else if (row !== undefined) {
    parts.readout.replaceChildren(el('b', {}, heat.sentence(row, column)),
      el('small', {}, `${read[column].action}, ${when(read[column].time_ms)}. ${itemOf(read[column].item_id)?.text ?? ''}`));
  } else {
    parts.readout.replaceChildren(el('b', {}, `${(100 * heat.means()[column]).toFixed(1)} % of the whole list's attention is on “${nameOf(read[column].item_id)}”`),
      el('small', {}, `${read[column].action}, ${when(read[column].time_ms)}. ${itemOf(read[column].item_id)?.text ?? ''}`));
  }
}

function strike(behaviour) {
  const key = keyOf(behaviour);
  if (!state.struck.delete(key)) state.struck.add(key);
  ask('strike');
}

async function act(id, action, value) {
  const event = {user_id: state.user ?? visitor, item_id: id, action, time_ms: Date.now()};
  if (!Number.isNaN(value)) event.value = value;
  state.struck.clear();
  if (state.user === undefined) {
    state.session.push(event);
    return ask('act', `${action} of “${nameOf(id)}” added to the session`);
  }
  const begin = performance.now();
  try {
    delete event.time_ms;  // the server's clock
    await call('/v1/events', {events: [event]});
  } catch (error) {
    parts.readout.replaceChildren(el('b', {class: 'failed'}, `Not recorded: ${error.message}`));
    return;
  }
  return ask('act', `${action} of “${nameOf(id)}” recorded in ${Math.round(performance.now() - begin)} ms`);
}

/** Another list than before. */
function askAnew() {
  shown = undefined;
  state.struck.clear();
  state.open = undefined;
  remember();
  return ask();
}

function boostRows() {
  const change = settled(askAnew, 400);
  parts.boostRows.replaceChildren(...state.boosts.map((boost, i) => el('li', {},
    el('input', {value: boost.filter, placeholder: "genre = 'Comedy'", 'aria-label': `Filter of boost ${i + 1}`, spellcheck: 'false',
      oninput: (event) => { boost.filter = event.target.value.trim(); change(); }}),
    el('input', {type: 'number', step: '0.5', value: boost.add, 'aria-label': `What boost ${i + 1} adds to the score`,
      oninput: (event) => { boost.add = event.target.valueAsNumber || 0; change(); }}),
    el('button', {type: 'button', 'aria-label': `Remove boost ${i + 1}`, onclick: () => { state.boosts.splice(i, 1); boostRows(); askAnew(); }}, '✕'))));
}

function be(user) {
  state.user = user;
  state.session = [];
  parts.userInput.value = user ?? '';
  parts.nobody.setAttribute('aria-pressed', String(user === undefined));
  return askAnew();
}

function build() {
  const who = suggestions({label: 'User', placeholder: 'nobody: a newcomer',
    look: async (prefix) => (await call('/console/users', {prefix, limit: 12})).users.map(({user_id: id, behaviours}) =>
      ({value: id, more: plural(behaviours, 'behaviour')})),
    take: (id) => be(id === '' ? undefined : id)});
  const nobody = el('button', {type: 'button', 'aria-pressed': 'false', onclick: () => be(undefined)}, 'Be nobody');
  const change = settled(() => askAnew(), 350);
  const text = (name, attributes) => el('input', {value: state[name], spellcheck: 'false', autocomplete: 'off', ...attributes,
    oninput: (event) => { state[name] = event.target.value.trim(); change(); }});
  const output = el('output', {}, state.diversity.toFixed(1));
  const slider = el('input', {type: 'range', min: 0, max: 1, step: 0.1, value: state.diversity, oninput: (event) => {
    state.diversity = event.target.valueAsNumber;
    output.textContent = state.diversity.toFixed(1);
    change();
  }});
  const boostList = el('ul', {class: 'boosts'});
  const boosts = el('div', {class: 'field boosting', role: 'group', 'aria-label': 'Boosts'}, el('span', {class: 'label'}, 'Boosts ',
    el('button', {type: 'button', onclick: () => { state.boosts.push({filter: '', add: 1}); boostRows(); boostList.querySelector('li:last-child input').focus(); }}, 'Add')),
  boostList, el('span', {class: 'complaint', role: 'alert'}));
  boosts.complain = (message) => { boosts.querySelector('.complaint').textContent = message ?? ''; };

  const user = field('User', el('div', {class: 'who'}, who.box, nobody));
  user.complain = ((complain) => (message) => { complain(message); who.input.toggleAttribute('aria-invalid', Boolean(message)); })(user.complain);
  const query = field('Query', text('query', {type: 'search', placeholder: 'what they search for'}));
  const filter = field('Filter', text('filter', {placeholder: "year >= 1990 and genre = 'Comedy'"}), 'Attributes, compared with =, <, in (…), and, or, not');
  const diversity = field(['Diversity ', output], slider, '0: by score alone');
  const more = el('details', {class: 'more', open: Boolean(state.filter || state.diversity || state.boosts.length)},
    el('summary', {}, 'Filter, diversity, boosts'), el('div', {class: 'fields'}, filter, diversity, boosts));
  const behaviours = el('div', {class: 'behaviours'});
  const readout = el('p', {class: 'readout', role: 'status'}, kIntroduction);
  const results = el('div', {class: 'results'}, el('div', {class: 'skeleton', 'aria-hidden': 'true'}));
  const form = el('form', {class: 'asking', onsubmit: (event) => { event.preventDefault(); askAnew(); }}, user, query, more);
  const root = el('div', {class: 'ask'}, el('h1', {class: 'hidden'}, 'Ask'), form,
    el('div', {class: 'columns'},
      el('details', {class: 'panel side', open: matchMedia('(min-width: 900px)').matches}, el('summary', {}, el('h2', {}, 'Behaviours')), behaviours),
      el('section', {class: 'panel ranked', 'aria-label': 'Ranked list'}, readout, results)));
  parts = {root, user, userInput: who.input, nobody, query, filter, diversity, boosts, boostRows: boostList, more, behaviours, readout, results};
  boostRows();
  who.input.value = state.user ?? '';
  nobody.setAttribute('aria-pressed', String(state.user === undefined));
}

/** Somebody whose taste is known, but not endlessly. */
async function somebody() {
  const {users} = await call('/console/users', {prefix: '', limit: 50});
  const most = Math.max(0, ...users.map(({behaviours}) => behaviours));
  return (users.find(({behaviours}) => behaviours >= 20 && behaviours <= 60) ?? users.find(({behaviours}) => behaviours === most))?.user_id;
}

let last;

/** The view, as `given` (URLSearchParams) says, or as it was. `engine` is what /console/engine told. */
export async function open(given, engine) {
  actions = engine.actions.filter(({weight}) => weight !== 0);
  writes = engine.console.writes;
  if (parts && (given.size === 0 || given.toString() === last)) return parts.root;
  recall(given);
  if (given.size === 0) state.user = await somebody().catch(() => undefined);
  build();
  askAnew();
  return parts.root;
}

/** Whether another link to this view asks for something else. */
export const close = () => { last = location.hash.split('?')[1] ?? ''; };

/** After the server was away: what is shown may be old. */
export const again = () => ask();
