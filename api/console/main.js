// Which view is shown, by the part of the address behind #, and what they all share: what serves,
// and whether the server answers.
import {el, notice} from './elements.js';
import {call, onAnswering} from './server.js';
import {plural} from './text.js';

const kViews = {
  ask: () => import('./ask.js'),
  items: () => import('./items.js'),
  experiments: () => import('./experiments.js'),
  engine: () => import('./engine.js'),
};

const main = document.getElementById('view');
let current; // {name, view}
let opening = 0;

function serving(engine) {
  document
    .getElementById('serving')
    .replaceChildren(
      `${plural(engine.items, 'item')} · ${plural(engine.users, 'user')} · `,
      el('span', {title: engine.faiss}, engine.device),
      ' · ',
      el(
        'a',
        {href: '#engine'},
        engine.model_version === '' ? 'no model yet' : engine.model_version,
      ),
    );
}

async function show() {
  const mine = ++opening;
  const [, name, given] = /^#?([a-z]*)\??(.*)$/.exec(location.hash) ?? [];
  const wanted = kViews[name] ? name : 'ask';
  for (const link of document.querySelectorAll('nav a')) {
    if (link.dataset.view === wanted) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  current?.view.close?.();
  try {
    const [view, engine] = await Promise.all([kViews[wanted](), call('/console/engine')]);
    if (mine !== opening) return;
    serving(engine);
    const shown = await view.open(new URLSearchParams(given), engine);
    if (mine !== opening) return view.close?.();
    current = {name: wanted, view};
    if (main.firstChild !== shown) main.replaceChildren(shown);
    document.title = `${wanted[0].toUpperCase()}${wanted.slice(1)} – Fovea`;
  } catch (error) {
    if (mine !== opening) return;
    current = undefined;
    main.replaceChildren(notice('failed', error.message));
  }
}

onAnswering((answering) => {
  const banner = document.getElementById('offline');
  banner.hidden = answering;
  banner.textContent = answering
    ? ''
    : 'The server does not answer. What is shown is as it was; it is asked every two seconds.';
  document.body.classList.toggle('away', !answering);
  if (!answering) return;
  if (current?.view.again) current.view.again();
  else show();
});
// The part of the address behind # says which view is shown, so that the link cannot use it.
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener('hashchange', show);
show();
