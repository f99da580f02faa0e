// A text field that suggests, as ARIA's combobox has it: arrows choose, Enter takes, Escape closes.
import {el, settled} from './elements.js';

let made = 0;

/**
 * `look(text)` resolves to [{value, label, more}]; `take(value)` is called for what is chosen, and
 * for what is typed and entered.
 */
export function suggestions({label, placeholder, look, take}) {
  const id = `suggestions-${++made}`;
  const list = el('ul', {id, role: 'listbox', 'aria-label': label, hidden: true});
  const input = el('input', {
    type: 'text',
    role: 'combobox',
    'aria-expanded': 'false',
    'aria-controls': id,
    'aria-autocomplete': 'list',
    'aria-label': label,
    autocomplete: 'off',
    spellcheck: 'false',
    placeholder,
  });
  let at = -1;
  let asked = 0;

  const close = () => {
    ++asked; // what is still under way comes too late
    list.hidden = true;
    input.setAttribute('aria-expanded', 'false');
    input.removeAttribute('aria-activedescendant');
    at = -1;
  };
  const choose = (value) => {
    input.value = value;
    close();
    take(value);
  };
  const mark = (next) => {
    const options = list.children;
    if (options.length === 0) return;
    options[at]?.setAttribute('aria-selected', 'false');
    at = (next + options.length) % options.length;
    options[at].setAttribute('aria-selected', 'true');
    options[at].scrollIntoView({block: 'nearest'});
    input.setAttribute('aria-activedescendant', options[at].id);
  };
  const suggest = async () => {
    const mine = ++asked;
    let found;
    try {
      found = await look(input.value.trim());
    } catch {
      found = [];
    }
    if (mine !== asked || document.activeElement !== input) return;
    list.replaceChildren(
      ...found.map(({value, label: name, more}, i) =>
        el(
          'li',
          {
            id: `${id}-${i}`,
            role: 'option',
            'aria-selected': 'false',
            onpointerdown: (event) => {
              event.preventDefault();
              choose(value);
            },
          },
          el('span', {}, name ?? value),
          more && el('small', {}, more),
        ),
      ),
    );
    at = -1;
    list.hidden = found.length === 0;
    input.setAttribute('aria-expanded', String(!list.hidden));
  };

  input.addEventListener('input', settled(suggest, 120));
  input.addEventListener('focus', suggest);
  input.addEventListener('blur', close);
  input.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      if (list.hidden) suggest();
      else mark(at + (event.key === 'ArrowDown' ? 1 : at < 0 ? 0 : -1));
    } else if (event.key === 'Enter') {
      event.preventDefault();
      const option = list.children[at];
      if (option)
        option.dispatchEvent(new PointerEvent('pointerdown', {bubbles: true, cancelable: true}));
      else choose(input.value.trim());
    } else if (event.key === 'Escape') {
      close();
    }
  });
  const box = el('div', {class: 'suggesting'}, input, list);
  return {box, input};
}
