// Numbers, times and items in words.

const kWhole = new Intl.NumberFormat('en');
const kMinute = 60_000;
const kHour = 60 * kMinute;
const kDay = 24 * kHour;
const kTitleMax = 120;

export const whole = (number) => kWhole.format(Math.round(number));
export const signed = (number, digits = 2) =>
  (number < 0 ? '−' : '+') + Math.abs(number).toFixed(digits);

/** A share between 0 and 1. */
export function percent(share) {
  const value = 100 * share;
  if (value === 0) return '0 %';
  if (value < 0.1) return '< 0.1 %';
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

/** A relative difference, as the report prints it. */
export const lift = (share) => `${signed(100 * share)} %`;

export const pValue = (p) => (p < 0.0001 ? '< 0.0001' : p.toFixed(4));

export function milliseconds(us) {
  const ms = us / 1000;
  return `${ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

export function bytes(count) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let power = 0;
  while (count >= 1000 && power + 1 < units.length) {
    count /= 1000;
    ++power;
  }
  return `${count < 10 && power > 0 ? count.toFixed(1) : Math.round(count)} ${units[power]}`;
}

export function duration(ms) {
  if (ms < kMinute) return `${Math.floor(ms / 1000)} s`;
  if (ms < kHour) return `${Math.floor(ms / kMinute)} min`;
  if (ms < 2 * kDay) return `${Math.floor(ms / kHour)} h ${Math.floor((ms % kHour) / kMinute)} min`;
  return `${Math.floor(ms / kDay)} days`;
}

/** "2026-11-22 10:15:02Z" */
export const utc = (ms) => `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`;

/** A behaviour's time, short: how long ago, or the day. */
export function when(ms) {
  const ago = Date.now() - ms;
  if (ago >= 0 && ago < kMinute) return 'just now';
  if (ago >= 0 && ago < kDay) return `${duration(ago)} ago`;
  return new Date(ms).toISOString().slice(0, 10);
}

export const plural = (count, one, many = `${one}s`) =>
  `${whole(count)} ${count === 1 ? one : many}`;

/**
 * What an item is called and what else its text says: a title or name among its attributes, else
 * the first sentence of its text, else its id.
 */
export function titleOf(item, id) {
  const text = (item?.text ?? '').trim();
  for (const name of ['title', 'name']) {
    const named = item?.attributes?.[name];
    if (typeof named === 'string' && named !== '') return {title: named, rest: text};
  }
  if (text === '') return {title: item?.item_id ?? id, rest: ''};
  // Not where a few letters are abbreviated: "E.T. the Extra-Terrestrial".
  const end = text.slice(0, kTitleMax).search(/(?<=[\p{L}\p{N})"”’']{3})\.\s|\n/u);
  if (end < 0) return {title: text.slice(0, kTitleMax), rest: text.slice(kTitleMax).trim()};
  return {title: text.slice(0, end), rest: text.slice(end + 1).trim()};
}

export function attributeText(value) {
  if (Array.isArray(value)) return value.join(', ');
  return typeof value === 'number' ? String(+value.toPrecision(12)) : String(value);
}
