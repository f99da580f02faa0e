// Elements of the page, made by hand. What people or items are called enters as text and never as
// markup, here and nowhere else.

const kSvg = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) {
      element.addEventListener(name.slice(2), value);
    } else if (name === 'style') {
      // Single properties, which the content security policy lets a script set.
      for (const [property, of] of Object.entries(value)) element.style.setProperty(property, of);
    } else {
      element.setAttribute(name, value === true ? '' : value);
    }
  }
  element.append(
    ...children.flat().filter((child) => child !== undefined && child !== null && child !== false),
  );
  return element;
}

/** An HTML element: el('a', {href: '#ask', onclick: f}, 'text', other). No child: false, null. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(kSvg, name), attributes, children);
}

/** A label above its control; `hint` stands below it, and what the server refuses about it. */
export function field(label, control, hint) {
  const complaint = el('span', {class: 'complaint', role: 'alert'});
  const box = el(
    'label',
    {class: 'field'},
    el('span', {class: 'label'}, label),
    control,
    hint && el('span', {class: 'hint'}, hint),
    complaint,
  );
  box.complain = (message) => {
    complaint.textContent = message ?? '';
    control.toggleAttribute('aria-invalid', Boolean(message));
  };
  return box;
}

/** A table of rows of cells; numbers stand right where `numbers` says so by column. */
export function table(caption, heads, rows, numbers = []) {
  const cell = (kind, content, column) =>
    el(
      kind,
      {class: numbers[column] ? 'number' : undefined, scope: kind === 'th' ? 'col' : undefined},
      content,
    );
  return el(
    'div',
    {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption},
    el(
      'table',
      {},
      el('caption', {}, caption),
      el(
        'thead',
        {},
        el(
          'tr',
          {},
          heads.map((head, i) => cell('th', head, i)),
        ),
      ),
      el(
        'tbody',
        {},
        rows.map((row) =>
          el(
            'tr',
            {},
            row.map((value, i) => cell('td', value, i)),
          ),
        ),
      ),
    ),
  );
}

/** What stands where there is nothing to show, or something failed. */
export function notice(kind, ...content) {
  return el(
    'p',
    {class: `empty ${kind}`, role: kind === 'failed' ? 'alert' : undefined},
    ...content,
  );
}

/** What was searched for in place of what was typed. */
export function correction(query) {
  return el(
    'p',
    {class: 'hint'},
    'Some of these words are in no text; searched for ',
    el('b', {}, query),
    ' instead.',
  );
}

/** Calls `then` once nothing has asked for it for a while. */
export function settled(then, ms = 180) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => then(...given), ms);
  };
}
