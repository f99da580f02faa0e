// The named parts of a score: their order, their colours' classes, and what they are in words.
import {signed} from './text.js';

// Colours go by name, so that a part looks the same in every list.
const kParts = [
  'retrieval',
  'attention',
  'transitions',
  'interaction',
  'similarity',
  'popularity',
  'text',
  'words',
  'vectors',
  'exact',
  'boost',
  'disliked',
  'ease',
];
const kLeast = 0.005; // less is not seen

export const partClass = (name) => `part-${kParts.includes(name) ? name : 'other'}`;

/** [name, value] of what of `parts` can be seen, largest first. */
export const largestFirst = (parts) =>
  Object.entries(parts)
    .filter(([, value]) => Math.abs(value) >= kLeast)
    .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));

/** Names of the parts that a list's items have, always in the same order. */
export function partsOf(items) {
  const names = new Set(
    items.flatMap(({explanation}) => largestFirst(explanation?.parts ?? {}).map(([name]) => name)),
  );
  const others = [...names].filter((name) => !kParts.includes(name));
  return [...kParts.filter((name) => names.has(name)), ...others];
}

export function scoreText({score, explanation}) {
  const parts = largestFirst(explanation?.parts ?? {});
  const sum = parts.map(([name, value]) => `${name} ${signed(value)}`).join(', ');
  return `score ${score.toFixed(2)}${sum && ` = ${sum}`}`;
}
