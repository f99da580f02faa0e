// The fields in which a question is asked. Owns where a refusal is said: at the field it is about.
import {el, field, settled} from './elements.js';
import {call} from './server.js';
import {suggestions} from './suggestions.js';
import {plural} from './text.js';

const kTypingMs = 350;
const kSuggested = 12;

async function usersThatBegin(prefix) {
  const {users} = await call('/console/users', {prefix, limit: kSuggested});
  return users.map(({user_id: id, behaviours}) => ({
    value: id,
    more: plural(behaviours, 'behaviour'),
  }));
}

/** Who asks; `onask` once it was changed. */
function userField(question, onask) {
  const be = (user) => {
    question.user = user;
    question.session = [];
    who.input.value = user ?? '';
    nobody.setAttribute('aria-pressed', String(user === undefined));
    onask();
  };
  const who = suggestions({
    label: 'User',
    placeholder: 'nobody: a newcomer',
    look: usersThatBegin,
    take: (id) => be(id === '' ? undefined : id),
  });
  who.input.value = question.user ?? '';
  const nobody = el(
    'button',
    {
      type: 'button',
      'aria-pressed': String(question.user === undefined),
      onclick: () => be(undefined),
    },
    'Be nobody',
  );
  return field('User', el('div', {class: 'who'}, who.box, nobody));
}

function textField(label, question, name, changed, attributes, hint) {
  const input = el('input', {
    name,
    value: question[name],
    spellcheck: 'false',
    autocomplete: 'off',
    ...attributes,
    oninput: () => {
      question[name] = input.value.trim();
      changed();
    },
  });
  return field(label, input, hint);
}

function diversityField(question, changed) {
  const output = el('output', {}, question.diversity.toFixed(1));
  const slider = el('input', {
    name: 'diversity',
    type: 'range',
    min: 0,
    max: 1,
    step: 0.1,
    value: question.diversity,
    oninput: () => {
      question.diversity = slider.valueAsNumber;
      output.textContent = question.diversity.toFixed(1);
      changed();
    },
  });
  return field(['Diversity ', output], slider, '0: by score alone');
}

function boostRow(boost, number, changed, remove) {
  const filter = el('input', {
    value: boost.filter,
    placeholder: "genre = 'Comedy'",
    'aria-label': `Filter of boost ${number}`,
    spellcheck: 'false',
    oninput: () => {
      boost.filter = filter.value.trim();
      changed();
    },
  });
  const add = el('input', {
    type: 'number',
    step: '0.5',
    value: boost.add,
    'aria-label': `What boost ${number} adds to the score`,
    oninput: () => {
      boost.add = add.valueAsNumber || 0;
      changed();
    },
  });
  const button = {type: 'button', 'aria-label': `Remove boost ${number}`, onclick: remove};
  return el('li', {}, filter, add, el('button', button, '✕'));
}

function boostField(question, changed) {
  const list = el('ul', {class: 'boosts'});
  const show = () =>
    list.replaceChildren(
      ...question.boosts.map((boost, i) =>
        boostRow(boost, i + 1, changed, () => {
          question.boosts.splice(i, 1);
          show();
          changed();
        }),
      ),
    );
  const onclick = () => {
    question.boosts.push({filter: '', add: 1});
    show();
    list.querySelector('li:last-child input').focus();
  };
  const complaint = el('span', {class: 'complaint', role: 'alert'});
  const box = el(
    'div',
    {class: 'field boosting', role: 'group', 'aria-label': 'Boosts'},
    el('span', {class: 'label'}, 'Boosts ', el('button', {type: 'button', onclick}, 'Add')),
    list,
    complaint,
  );
  box.complain = (message) => {
    complaint.textContent = message ?? '';
  };
  show();
  return box;
}

/**
 * The form, over a Question that it changes; `onask` is called when it has. Its complain(error)
 * says what was refused where it was typed, and returns whether it found the place; without an
 * error nothing is said any more.
 */
export function questionForm(question, onask) {
  const changed = settled(onask, kTypingMs);
  const user = userField(question, onask);
  const query = textField('Query', question, 'query', changed, {
    type: 'search',
    placeholder: 'what they search for',
  });
  const filter = textField(
    'Filter',
    question,
    'filter',
    changed,
    {placeholder: "year >= 1990 and genre = 'Comedy'"},
    'Attributes, compared with =, <, in (…), and, or, not',
  );
  const diversity = diversityField(question, changed);
  const boosts = boostField(question, changed);
  const rules = el(
    'details',
    {
      class: 'more',
      open: question.filter !== '' || question.diversity > 0 || question.boosts.length > 0,
    },
    el('summary', {}, 'Filter, diversity, boosts'),
    el('div', {class: 'fields'}, filter, diversity, boosts),
  );
  const onsubmit = (event) => {
    event.preventDefault();
    onask();
  };
  const form = el('form', {class: 'asking', onsubmit}, user, query, rules);
  const boxes = {user_id: user, query, filter, diversity, boosts};
  form.complain = (error) => {
    for (const box of Object.values(boxes)) box.complain();
    const name = error?.field?.replace(/\[.*/, '');
    boxes[name]?.complain(error.message);
    if (name !== 'user_id' && name !== 'query' && boxes[name]) rules.open = true;
    return boxes[name] !== undefined;
  };
  return form;
}
