// Items: the catalogue searched by words or by id, one item as it is stored, and its neighbours.
import {item as itemOf, learn} from './catalogue.js';
import {correction, el, field, notice, settled} from './elements.js';
import {attributesList, howFound, partsTable} from './item_details.js';
import {legend, rankedList} from './ranked_list.js';
import {call} from './server.js';
import {plural, titleOf} from './text.js';

const kFound = 50;
const kNeighbours = 10;

let parts;
let state = {text: '', item: undefined};
let looked = 0;
let found = new Map(); // what the search said of an item, by id
let last;

const nameOf = (id) => titleOf(itemOf(id), id).title;

function remember() {
  const given = new URLSearchParams();
  if (state.text) given.set('text', state.text);
  if (state.item !== undefined) given.set('item', state.item);
  history.replaceState(null, '', `#items${given.size > 0 ? `?${given}` : ''}`);
}

const link = (id) => {
  const {title, rest} = titleOf(itemOf(id), id);
  const given = new URLSearchParams({...(state.text && {text: state.text}), item: id});
  return el(
    'li',
    {},
    el(
      'a',
      {
        href: `#items?${given}`,
        'data-item': id,
        'aria-current': state.item === id ? 'true' : undefined,
        onclick: (event) => {
          event.preventDefault();
          choose(id);
          parts.item.scrollIntoView({block: 'nearest'});
        },
      },
      el('b', {}, title),
      el('small', {}, rest || id),
    ),
  );
};

function group(title, ids, more) {
  return (
    ids.length > 0 &&
    el(
      'section',
      {'aria-label': title},
      el('h2', {class: 'quiet'}, title),
      el('ul', {}, ids.map(link)),
      more,
    )
  );
}

/** A query's list goes on as long as there is more; without one the popular items are shown. */
async function look() {
  const mine = ++looked;
  const {text} = state;
  remember();
  parts.complain();
  const asks = {
    limit: kFound,
    explain: text !== '',
    preview: true,
    include_seen: true,
    ...(text === '' ? {user_id: 'nobody, who looks at the catalogue'} : {query: text}),
  };
  try {
    const [byId, ranked] = await Promise.all([
      text === '' ? {items: []} : call('/console/items', {prefix: text, limit: 10}),
      call('/v1/rank', asks),
    ]);
    await learn([...byId.items, ...ranked.items].map(({item_id: id}) => id));
    if (mine !== looked) return;
    found = new Map(ranked.items.map((item) => [item.item_id, item]));
    const ids = byId.items.map(({item_id: id}) => id);
    const ranks = ranked.items.map(({item_id: id}) => id).filter((id) => !ids.includes(id));
    const next =
      ranked.next_page_token &&
      el(
        'button',
        {type: 'button', onclick: (event) => further(event.target, asks, ranked.next_page_token)},
        'More',
      );
    parts.found.replaceChildren(
      ...[
        ranked.corrected_query && correction(ranked.corrected_query),
        group(`Ids that begin with “${text}”`, ids),
        group(text === '' ? 'Popular' : 'Found by text', ranks, next),
        ids.length + ranks.length === 0 &&
          notice(
            '',
            text === ''
              ? 'The catalogue is empty: putItems or fovea import fill it.'
              : 'Nothing is like this.',
          ),
      ].filter(Boolean),
    );
    if (state.item === undefined && ids.length + ranks.length > 0) choose(ids[0] ?? ranks[0]);
    else if (state.item !== undefined) choose(state.item);
  } catch (error) {
    if (mine === looked) refuse(error);
  }
}

async function further(button, asks, token) {
  button.disabled = true;
  try {
    const ranked = await call('/v1/rank', {...asks, page_token: token});
    await learn(ranked.items.map(({item_id: id}) => id));
    for (const item of ranked.items) found.set(item.item_id, item);
    button.previousElementSibling.append(...ranked.items.map(({item_id: id}) => link(id)));
    if (ranked.next_page_token)
      button.replaceWith(
        el(
          'button',
          {type: 'button', onclick: (event) => further(event.target, asks, ranked.next_page_token)},
          'More',
        ),
      );
    else button.remove();
  } catch (error) {
    button.disabled = false;
    refuse(error);
  }
}

function refuse(error) {
  if (error.field === 'query' || error.field === 'prefix') parts.complain(error.message);
  else if (error.status !== 0) parts.found.replaceChildren(notice('failed', error.message));
}

/** Shows an item, with what is nearest to it. */
async function choose(id) {
  state.item = id;
  remember();
  for (const a of parts.found.querySelectorAll('a')) {
    if (a.dataset.item === id) a.setAttribute('aria-current', 'true');
    else a.removeAttribute('aria-current');
  }
  try {
    // As it is stored, with its embedding; the catalogue leaves that out.
    const {
      items: [item],
    } = await call('/v1/items/get', {item_ids: [id]});
    if (state.item !== id) return;
    if (!item)
      return parts.item.replaceChildren(
        notice('failed', `There is no item “${id}” in the catalogue.`),
      );
    const neighbours = el('div', {}, el('div', {class: 'skeleton'}));
    const ranked = found.get(id);
    parts.item.replaceChildren(
      el(
        'article',
        {class: 'item'},
        ...[
          el('div', {}, el('h2', {}, titleOf(item, id).title), el('p', {class: 'quiet'}, id)),
          item.text && el('p', {class: 'text'}, item.text),
          attributesList(item),
          item.embedding &&
            el(
              'p',
              {class: 'hint'},
              `Its vector of ${plural(item.embedding.length, 'number')} is used instead of a text.`,
            ),
          ranked?.explanation &&
            state.text !== '' &&
            el(
              'section',
              {},
              el('h3', {}, `How “${state.text}” found it`),
              el('p', {class: 'hint'}, howFound(ranked)),
              partsTable(ranked),
            ),
          el(
            'section',
            {},
            el('h3', {}, 'Neighbours'),
            el('p', {class: 'hint'}, 'What the engine ranks for who asks for more like this.'),
            neighbours,
          ),
        ].filter(Boolean),
      ),
    );
    const near = await call('/v1/rank', {
      seed_items: [id],
      limit: kNeighbours,
      explain: true,
      preview: true,
    });
    await learn(near.items.map(({item_id: other}) => other));
    if (state.item !== id) return;
    neighbours.replaceChildren(
      ...(near.items.length === 0
        ? [notice('', 'Nothing is near it.')]
        : [legend(near.items), rankedList({items: near.items, actions: [], nameOf})]),
    );
  } catch (error) {
    if (state.item === id && error.status !== 0)
      parts.item.replaceChildren(notice('failed', error.message));
  }
}

function build() {
  const change = settled(() => {
    state.item = undefined;
    look();
  }, 250);
  const input = el('input', {
    type: 'search',
    value: state.text,
    placeholder: 'words of a text, or how an id begins',
    autocomplete: 'off',
    spellcheck: 'false',
    oninput: () => {
      state.text = input.value.trim();
      change();
    },
  });
  const search = field('Search the catalogue', input);
  const list = el('div', {class: 'panel found'}, el('div', {class: 'skeleton'}));
  const shown = el(
    'section',
    {class: 'panel', 'aria-label': 'Item', 'aria-live': 'polite'},
    el('div', {class: 'skeleton'}),
  );
  parts = {
    root: el(
      'div',
      {},
      el('h1', {class: 'hidden'}, 'Items'),
      el(
        'form',
        {
          onsubmit: (event) => {
            event.preventDefault();
            look();
          },
        },
        search,
      ),
      el('div', {class: 'looking'}, list, shown),
    ),
    found: list,
    item: shown,
    complain: search.complain,
  };
}

export async function open(given) {
  if (parts && (given.size === 0 || given.toString() === last)) return parts.root;
  state = {text: given.get('text') ?? '', item: given.get('item') ?? undefined};
  build();
  look();
  return parts.root;
}

export const close = () => {
  last = location.hash.split('?')[1] ?? '';
};
export const again = () => look();
