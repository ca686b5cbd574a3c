/** What is counted of one queue, under FreeBSD's names, as an array: counting then makes no garbage. */
export class Counters<Name extends string> {
  /** The counts, by the index of their names. */
  readonly counts: Float64Array<ArrayBuffer>;
  readonly #names: readonly Name[];

  /** All zero. */
  constructor(names: readonly Name[]) {
    this.#names = names;
    this.counts = new Float64Array(names.length);
  }

  /** All of them with a prefix, for people. */
  report(prefix: string): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#names.map((name, i) => [prefix + name, this.counts[i]!]));
  }
}
