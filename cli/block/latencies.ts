/** Values below this are counted each for itself; above, each power of two is cut into half as many parts. */
const FINE = 128;
const GROUPS = 40;

/** Which percentiles fio prints, so that its readers find them. */
const PERCENTILES = [1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99];

/** A distribution of times, in nanoseconds, with less than one percent of error; adding one makes no garbage. */
export class Latencies {
  readonly #counts = new Float64Array(FINE + GROUPS * FINE / 2);
  #count = 0;
  #sum = 0;
  #squares = 0;
  #least = Infinity;
  #greatest = 0;

  /** One more. */
  add(nanoseconds: number): void {
    this.#counts[indexOf(nanoseconds)]!++;
    this.#count++;
    this.#sum += nanoseconds;
    this.#squares += nanoseconds * nanoseconds;
    if (nanoseconds < this.#least) this.#least = nanoseconds;
    if (nanoseconds > this.#greatest) this.#greatest = nanoseconds;
  }

  /** The time that so many percent took at most. */
  percentile(percent: number): number {
    let left = Math.ceil(this.#count * percent / 100);
    for (let index = 0; index < this.#counts.length; index++) {
      left -= this.#counts[index]!;
      if (left <= 0) return Math.min(valueAt(index), this.#greatest);
    }
    return this.#greatest;
  }

  /** All of it, as fio's `clat_ns`. */
  toJSON(): object {
    const mean = this.#count === 0 ? 0 : this.#sum / this.#count;
    const variance = this.#count === 0 ? 0 : this.#squares / this.#count - mean * mean;
    return {
      min: this.#count === 0 ? 0 : Math.round(this.#least),
      max: Math.round(this.#greatest),
      mean,
      stddev: Math.sqrt(Math.max(0, variance)),
      N: this.#count,
      ...(this.#count > 0 && {
        percentile: Object.fromEntries(
          PERCENTILES.map((percent) => [
            percent.toFixed(6),
            Math.round(this.percentile(percent)),
          ]),
        ),
      }),
    };
  }
}

function indexOf(value: number): number {
  if (value < FINE) return Math.max(0, Math.floor(value));
  const group = Math.min(GROUPS - 1, Math.floor(Math.log2(value / FINE)));
  const part = Math.min(FINE / 2 - 1, Math.floor((value / (FINE * 2 ** group) - 1) * FINE / 2));
  return FINE + group * FINE / 2 + part;
}

/** The greatest value that is counted at an index. */
function valueAt(index: number): number {
  if (index < FINE) return index;
  const group = Math.floor((index - FINE) / (FINE / 2));
  const part = (index - FINE) % (FINE / 2);
  return FINE * 2 ** group * (1 + (part + 1) / (FINE / 2));
}
