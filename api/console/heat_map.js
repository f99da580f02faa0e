// The attention itself: ranked items down, behaviours across, newest first; the stronger the colour
// of a cell, the more of an item's attention went to the behaviour. Each row is a strip of its own,
// so that it lies beside its item on a wide screen and below it on a phone. Owns which pair is
// pointed at, by mouse, finger or arrow keys.
import {svg} from './elements.js';
import {percent} from './text.js';

/** Of a cell: the square root, since one behaviour often has a hundred times another's weight. */
const darkness = (weight, most) => (most > 0 ? Math.sqrt(weight / most) : 0);

export class HeatMap {
  /**
   * `columns` are behaviours; `weights` [rows][columns], each 0 .. 1. `names.row(i)` and
   * `names.column(behaviour)` are said of a pair. `onpoint(row, column)` is called for each new
   * pair, with nothing when there is none any more; `onstrike(behaviour)` for x and Delete.
   */
  constructor({weights, columns, names, onpoint, onstrike}) {
    Object.assign(this, {weights, columns, names, onpoint, onstrike});
    this.most = Math.max(0, ...weights.flat());
    /** Of all rows together, the mean weight of each column. */
    this.means = columns.map(
      (_, column) => weights.reduce((sum, row) => sum + row[column], 0) / weights.length,
    );
    this.strips = weights.map((_, row) => this.#strip(row));
    this.strips[0]?.setAttribute('tabindex', 0);
  }

  sentence(row, column) {
    return (
      `${percent(this.weights[row][column])} of what “${this.names.row(row)}” attends to is ` +
      `“${this.names.column(this.columns[column])}”`
    );
  }

  /** What a row attends to most, for who does not see it. */
  summary(row) {
    const heaviest = this.weights[row]
      .map((weight, column) => ({weight, column}))
      .filter(({weight}) => weight > 0)
      .sort((a, b) => b.weight - a.weight)
      .slice(0, 3);
    if (heaviest.length === 0) return `“${this.names.row(row)}” attends to nothing`;
    return (
      `“${this.names.row(row)}” attends to ` +
      heaviest
        .map(({weight, column}) => {
          const name = this.names.column(this.columns[column]);
          return `“${name}” with ${percent(weight)}`;
        })
        .join(', ')
    );
  }

  /** Marks a pair; a row of undefined marks the whole column. */
  point(row, column) {
    for (const marked of this.marked ?? []) marked.classList.remove('at', 'with');
    this.marked = [];
    if (column !== undefined) {
      for (const [i, strip] of this.strips.entries()) {
        const cell = strip.children[column];
        cell.classList.add(i === row ? 'at' : 'with');
        this.marked.push(cell);
      }
    }
    this.at = column === undefined ? undefined : {row, column};
  }

  #to(row, column) {
    if (this.at?.row === row && this.at?.column === column) return;
    this.point(row, column);
    this.onpoint(row, column);
  }

  #strip(row) {
    const strip = svg('svg', {
      class: 'strip',
      style: {'--columns': this.columns.length},
      role: 'img',
      tabindex: -1,
      'aria-label': this.summary(row),
      'aria-keyshortcuts': 'ArrowLeft ArrowRight x',
    });
    const share = (of) => `${((100 * of) / this.columns.length).toFixed(3)}%`;
    for (const [column, weight] of this.weights[row].entries()) {
      strip.append(
        svg('rect', {
          x: share(column + 0.04),
          y: '5%',
          width: share(0.92),
          height: '90%',
          class: weight > 0 ? 'cell' : 'cell none',
          'fill-opacity':
            weight > 0 ? (0.06 + 0.94 * darkness(weight, this.most)).toFixed(3) : undefined,
        }),
      );
    }
    const under = (event) => {
      const box = strip.getBoundingClientRect();
      const column = Math.floor(((event.clientX - box.left) / box.width) * this.columns.length);
      if (column >= 0 && column < this.columns.length) this.#to(row, column);
    };
    strip.addEventListener('pointermove', under);
    strip.addEventListener('pointerdown', under);
    strip.addEventListener('pointerleave', (event) => {
      if (event.pointerType === 'mouse' && document.activeElement !== strip) {
        this.point();
        this.onpoint();
      }
    });
    strip.addEventListener('focus', () => {
      for (const other of this.strips) other.setAttribute('tabindex', other === strip ? 0 : -1);
      const heaviest = this.weights[row].indexOf(Math.max(...this.weights[row]));
      if (this.columns.length > 0) this.#to(row, this.at?.column ?? Math.max(0, heaviest));
    });
    strip.addEventListener('keydown', (event) => this.#key(event, row));
    return strip;
  }

  #key(event, row) {
    const column = this.at?.column ?? 0;
    const last = this.columns.length - 1;
    const across = {ArrowLeft: column - 1, ArrowRight: column + 1, Home: 0, End: last}[event.key];
    const down = {ArrowUp: row - 1, ArrowDown: row + 1}[event.key];
    if (across !== undefined) {
      if (across >= 0 && across <= last) this.#to(row, across);
    } else if (down !== undefined) {
      this.strips[down]?.focus();
    } else if ((event.key === 'x' || event.key === 'Delete') && this.columns.length > 0) {
      this.onstrike(this.columns[column]);
    } else if (event.key === 'Escape') {
      this.point();
      this.onpoint();
    } else {
      return;
    }
    event.preventDefault();
  }
}
