/**
 * Drivers with a mistake in them, made from good ones: a change somewhere in the text, chosen by a seed.
 *
 * @module
 */

/** Numbers that look random, the same ones for the same seed. */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  /** A whole number below `end`. */
  below(end: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % end;
  }

  /** One of these. */
  of<T>(all: readonly T[]): T {
    return all[this.below(all.length)]!;
  }
}

/** Kinds of mistakes: what is looked for, and what is put in its place. */
const MISTAKES: Readonly<Record<string, readonly [RegExp, (found: string) => string]>> = {
  "branch flipped": [/\bif \((?=[^;{}]*\)[ \n])/g, () => "if (!"],
  "equal and not equal exchanged": [
    / [=!]==? /g,
    (found) => found.includes("!") ? " === " : " !== ",
  ],
  "comparison exchanged": [
    / (<|>|<=|>=) (?=[\w(])/g,
    (found) => found.includes("<") ? " > " : " < ",
  ],
  "off by one": [/\b\d+\b(?=[;,)\] ])/g, (found) => String(Number(found) + 1)],
  "plus and minus exchanged": [/ [+-] (?=[\w(])/g, (found) => found.includes("+") ? " - " : " + "],
  "statement dropped": [/^ {4,}\w[\w.]*\(.*\);$/gm, () => ""],
  "assignment dropped": [/^ {4,}[\w.[\]]+ [-+|]?= .*;$/gm, () => ""],
  "early return": [
    /(?<=\{\n) {6,}(?=\w)/g,
    (found) => `${found}return undefined as never;\n${found}`,
  ],
  "throws": [/(?<=\{\n) {6,}(?=\w)/g, (found) => `${found}throw new Error("mutant");\n${found}`],
  "loops": [/(?<=\{\n) {6,}(?=\w)/g, (found) => `${found}for (;;);\n${found}`],
  "and and or exchanged": [/ (&&|\|\|) /g, (found) => found.includes("&") ? " || " : " && "],
};

/** A mistake that was made. */
export interface Mistake {
  /** Which kind, and in which line of which file. */
  readonly what: string;
  /** The text with it. */
  readonly text: string;
}

/** Makes a mistake in a text; undefined if this kind fits nowhere. */
export function mutate(file: string, text: string, chance: Chance): Mistake | undefined {
  const kind = chance.of(Object.keys(MISTAKES));
  const [pattern, change] = MISTAKES[kind]!;
  // The head of a module is only names.
  const body = text.search(/\n(export |const \w+: Plugin|function |class )/);
  const places = [...text.matchAll(pattern)].filter(({ index }) => index > body);
  if (places.length === 0) return undefined;
  const { 0: found, index } = chance.of(places);
  const line = text.slice(0, index).split("\n").length;
  return {
    what: `${file}:${line} ${kind}`,
    text: text.slice(0, index) + change(found) + text.slice(index + found.length),
  };
}
