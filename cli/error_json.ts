import { exitCode, MEANING, messageOf } from "./exit.ts";

/** An error, for JSON. */
export interface ErrorJson {
  /** The exit status that it leads to, and what that means. */
  readonly exit: number;
  readonly meaning: string;
  /** All that people are told. */
  readonly message: string;
  /** What could not be done. */
  readonly what: string;
  /** What it is about: the address of a device, or the option that is wrong. */
  readonly where: string | null;
  /** Why not. */
  readonly why: string | null;
  /** What to do next. */
  readonly next: string | null;
  /** The rule that was broken, of those in `docs/hostile-guests.md`. */
  readonly rule: string | null;
}

/** A PCI address, and an option, as they stand in sentences. */
const ADDRESS = /\b[\da-f]{4,}:[\da-f]{2}:[\da-f]{2}\.[0-7]\b/;
const OPTION = /(?<![\w-])--(?!help\b)[a-z][a-z-]+/;
const RULE = /\[([A-Z]-\d+)\]/;
const USAGE = 2;

/**
 * Whatever was thrown, for JSON. All messages of the program are made the same way, "what: why. What next", so each part is
 * where it is looked for.
 */
export function errorJson(error: unknown): ErrorJson {
  const exit = exitCode(error);
  const message = messageOf(error);
  const [, meaning] = MEANING.find(([code]) => code === exit)!;
  const [first = ""] = message.split("\n");
  const colon = first.indexOf(": ");
  const [what, reasons] = colon < 0
    ? sentences(first)
    : [first.slice(0, colon), first.slice(colon + 2)];
  const [why, next] = colon < 0 ? ["", reasons] : sentences(reasons);
  const where = ADDRESS.exec(message) ?? (exit === USAGE ? OPTION.exec(message) : null);
  return {
    exit,
    meaning,
    message,
    what,
    where: where?.[0] ?? null,
    why: why || null,
    next: next || null,
    rule: RULE.exec(message)?.[1] ?? null,
  };
}

/** The first sentences of a text, and the last one. */
function sentences(text: string): [first: string, last: string] {
  const [, first = text, last = ""] = /^(.*?)[.?!;] (?=[A-Z]|--)(.*)$/s.exec(text) ?? [];
  return [first, last];
}
