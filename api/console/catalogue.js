// Items by id, each asked for once, without their embeddings.
import {call} from './server.js';

const kAtOnce = 1000;
const kKept = 20_000;
const items = new Map();

/** Makes these known to item(); ids that no item has stay unknown. */
export async function learn(ids) {
  const unknown = [...new Set(ids)].filter((id) => !items.has(id));
  if (items.size > kKept) items.clear();
  for (let begin = 0; begin < unknown.length; begin += kAtOnce) {
    const {items: found} = await call('/console/items/get', {
      item_ids: unknown.slice(begin, begin + kAtOnce),
    });
    for (const item of found) items.set(item.item_id, item);
  }
}

/** Undefined: not learned, or there is none. */
export const item = (id) => items.get(id);
