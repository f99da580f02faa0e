// What is asked in the view Ask: whose list, of which query, under which rules. Owns how that
// becomes a request, and a part of the address that can be linked to.
import {keyOf} from './timeline.js';

const kListed = 20;

// Nobody's name, which no store knows, so that the list is a newcomer's.
const visitor = `visitor-${crypto.randomUUID?.() ?? Math.random().toString(36).slice(2)}`;

export class Question {
  user = undefined; // undefined: nobody, whose behaviours are `session`, oldest first
  session = [];
  query = '';
  filter = '';
  diversity = 0;
  boosts = []; // {filter, add}
  struck = new Set(); // keys of behaviours that are left out
  // Of the user's own list, so that experiments go on alike when a behaviour is left out.
  variants = {};

  static fromAddress(given) {
    const question = new Question();
    question.user = given.get('user') ?? undefined;
    question.query = given.get('query') ?? '';
    question.filter = given.get('filter') ?? '';
    question.diversity = Math.min(1, Math.max(0, Number(given.get('diversity')) || 0));
    try {
      question.boosts = JSON.parse(given.get('boosts') ?? '[]').map(({filter, add}) => ({
        filter: String(filter),
        add: Number(add) || 0,
      }));
    } catch {
      // an address that somebody wrote by hand
    }
    return question;
  }

  toAddress() {
    const given = new URLSearchParams();
    if (this.user !== undefined) given.set('user', this.user);
    for (const name of ['query', 'filter']) if (this[name]) given.set(name, this[name]);
    if (this.diversity > 0) given.set('diversity', this.diversity);
    if (this.boosts.length > 0) given.set('boosts', JSON.stringify(this.boosts));
    return `#ask${given.size > 0 ? `?${given}` : ''}`;
  }

  left(behaviours) {
    return behaviours.filter((behaviour) => !this.struck.has(keyOf(behaviour)));
  }

  /** Of the RankRequest; `behaviours` are the user's or the session's, newest first. */
  toRequest(behaviours, more) {
    const request = {limit: kListed, preview: true, ...more};
    if (this.query) request.query = this.query;
    if (this.filter) request.filter = this.filter;
    if (this.diversity > 0) request.diversity = this.diversity;
    const boosts = this.boosts.filter(({filter}) => filter !== '');
    if (boosts.length > 0) request.boosts = boosts;
    if (this.user !== undefined && this.struck.size === 0) {
      return {user_id: this.user, ...request};
    }
    // The behaviours that are left, as a newcomer's: as if the others had not happened.
    const session = this.left(behaviours)
      .reverse()
      .map(({item_id, action, time_ms, value}) => ({
        user_id: visitor,
        item_id,
        action,
        time_ms,
        value,
      }));
    const known = this.user === undefined ? {} : {variants: this.variants};
    return {user_id: visitor, session, ...known, ...request};
  }

  /** A behaviour at this moment, as it is recorded; nobody's go into the session instead. */
  event(item_id, action, value) {
    const event = {user_id: this.user ?? visitor, item_id, action};
    if (Number.isFinite(value)) event.value = value;
    return event;
  }
}
