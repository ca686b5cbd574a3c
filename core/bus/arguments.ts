/**
 * What an application hands over is checked here, once, at the entry of every method that takes it: a program in
 * JavaScript, or a cast, gets past TypeScript. A wrong argument is one error, a `TypeError` if it is the wrong kind of
 * thing and a `RangeError` if there can be no such number, which names the method, the argument and what is wanted.
 *
 * Bytes are a `Uint8Array` and nothing else: an array or a string has none, and those of another view depend on the
 * machine. What is read later than at once is checked again then, since its buffer may have been transferred or resized.
 *
 * @module
 */

/** The longest time of a timer: a longer one is over at once. */
const MOST_MS = 2 ** 31 - 1;

const TYPED_ARRAY: object = Object.getPrototypeOf(Uint8Array.prototype);
// What the language says of a view, whatever properties the application gave it.
const [kindOf, bufferOf, offsetOf, lengthOf] = ([
  Symbol.toStringTag,
  "buffer",
  "byteOffset",
  "byteLength",
] as const).map((name) => Object.getOwnPropertyDescriptor(TYPED_ARRAY, name)!.get!);
const { at } = Uint8Array.prototype;

/** The error's words. `where` is the method as the documentation names it, `name` its argument. */
function wrong(where: string, name: string, value: unknown, wanted: string): string {
  return `Cannot use the argument ${name} of ${where}: it is ${shown(value)}, wanted ${wanted}`;
}

/** A value in a few words, whatever it is. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
    case "bigint":
      return `${value}n`;
    case "function":
    case "symbol":
      return `a ${typeof value}`;
    case "object":
      if (value === null) return "null";
      try {
        return `of type ${Object.prototype.toString.call(value).slice(8, -1)}`;
      } catch {
        return "an object"; // a proxy may throw anything
      }
    default:
      return String(value);
  }
}

/**
 * Bytes: a view of one's own of the same memory. Its length is fixed, so that it is 0 once the memory was taken away;
 * see {@linkcode isLost}.
 */
export function bytes(value: unknown, where: string, name: string): Uint8Array {
  if (kindOf!.call(value) !== "Uint8Array") {
    throw new TypeError(wrong(
      where,
      name,
      value,
      "a Uint8Array: new TextEncoder().encode(text) has the bytes of a text, " +
        "new Uint8Array(view.buffer, view.byteOffset, view.byteLength) those of another view",
    ));
  }
  const length: number = lengthOf!.call(value);
  if (length === 0 && isAway(value as Uint8Array)) {
    throw new TypeError(
      wrong(where, name, value, "a Uint8Array whose buffer was not transferred or shrunk"),
    );
  }
  return new Uint8Array(bufferOf!.call(value), offsetOf!.call(value), length);
}

/** Whether the memory of a view is not there. */
function isAway(view: Uint8Array): boolean {
  try {
    at.call(view, 0);
    return false;
  } catch {
    return true;
  }
}

/** Bytes, so many: a copy, for what is looked at more than once. */
export function copied(
  value: unknown,
  where: string,
  name: string,
  least: number,
  most: number,
): Uint8Array<ArrayBuffer> {
  const view = bytes(value, where, name);
  integer(view.length, where, `${name}.length`, least, most);
  return view.slice();
}

/** Whether the memory of bytes that had this length was taken away: transferred, or shrunk. */
export function isLost(view: Uint8Array, length: number): boolean {
  return view.length !== length;
}

/** The error of a request whose bytes {@linkcode isLost | were lost}; `action` as in `"Cannot read 512 bytes at 0"`. */
export function lostError(action: string): TypeError {
  return new TypeError(
    `${action}: the buffer was transferred or resized before the end; leave it alone until the promise settles`,
  );
}

/** Room for so many bytes. */
export function room(length: number, action: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(length);
  } catch {
    throw new RangeError(`${action}: there is no memory for ${length} bytes; take it in pieces`);
  }
}

/** A whole number. */
export function integer(
  value: unknown,
  where: string,
  name: string,
  least: number = 0,
  most: number = Number.MAX_SAFE_INTEGER,
): number {
  const fits = Number.isSafeInteger(value) && value as number >= least && value as number <= most;
  if (fits) return value as number;
  const limits = most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `${least} to ${most}`;
  throw numberError(where, name, value, `a whole number, ${limits}`);
}

/** A time in milliseconds that a timer can wait for. */
export function milliseconds(
  value: unknown,
  where: string,
  name: string,
  least: number = 0,
): number {
  if (typeof value === "number" && value >= least && value <= MOST_MS) return value;
  throw numberError(where, name, value, `milliseconds, ${least} to ${MOST_MS}`);
}

function numberError(where: string, name: string, value: unknown, wanted: string): Error {
  const message = wrong(where, name, value, wanted);
  return typeof value === "number" ? new RangeError(message) : new TypeError(message);
}

/** A set of bits, as a number without end. */
export function bits(value: unknown, where: string, name: string, all: bigint): bigint {
  const fits = typeof value === "bigint" && value >= 0n && value <= all;
  return kind(fits, value, where, name, `a bigint, 0n to ${all}n`) as bigint;
}

/** Yes or no. */
export function flag(value: unknown, where: string, name: string): boolean {
  return kind(typeof value === "boolean", value, where, name, "true or false") as boolean;
}

/** A text. */
export function text(value: unknown, where: string, name: string): string {
  return kind(typeof value === "string", value, where, name, "a string") as string;
}

/** One of several words. */
export function word<W extends string>(
  value: unknown,
  where: string,
  name: string,
  words: readonly W[],
): W {
  const known = words.some((word) => word === value);
  return kind(known, value, where, name, `one of ${words.join(", ")}`) as W;
}

/** A function. */
export function callback<F>(value: F, where: string, name: string): F {
  return kind(typeof value === "function", value, where, name, "a function") as F;
}

/** An object with properties, for example options. */
export function record<T extends object>(value: T, where: string, name: string): T {
  const fits = typeof value === "object" && value !== null && !Array.isArray(value);
  return kind(fits, value, where, name, "an object") as T;
}

/** An array: a copy of it. */
export function list(
  value: unknown,
  where: string,
  name: string,
  most: number = 65536,
): unknown[] {
  const fits = Array.isArray(value) && value.length <= most;
  return [...kind(fits, value, where, name, `an array of at most ${most}`) as unknown[]];
}

/** What ends a wait; it may be left out. */
export function abortSignal(
  value: unknown,
  where: string,
  name: string,
): AbortSignal | undefined {
  const fits = value === undefined || value instanceof AbortSignal;
  return kind(fits, value, where, name, "an AbortSignal") as AbortSignal | undefined;
}

function kind(fits: boolean, value: unknown, where: string, name: string, wanted: string): unknown {
  if (fits) return value;
  throw new TypeError(wrong(where, name, value, wanted));
}
