// What may stand in a `plugin.json`, and what is said of what may not.

import type { FeatureRule } from "../virtio/features.ts";
import { type Match, MATCH_FIELDS, type MatchField } from "../pci/match.ts";
import {
  type ConfigField,
  type Limits,
  type Manifest,
  ManifestError,
  type PciNeeds,
  type RegisterNeed,
} from "./manifest.ts";
import { fits, type Tunable, tunableValues } from "./tunables.ts";

/** Each limit's least, greatest and usual value. */
const LIMITS: Readonly<Record<keyof Limits, { least: number; greatest: number; usual: number }>> = {
  memoryMiB: { least: 1, greatest: 1024, usual: 16 },
  heapMiB: { least: 32, greatest: 4096, usual: 256 },
};

const FIELDS = [
  "$schema",
  "name",
  "entry",
  "class",
  "bus",
  "registers",
  "vectors",
  "addressBits",
  "match",
  "limits",
  "config",
  "features",
  "tunables",
  "description",
  "version",
];
const BUSES = ["virtio", "pci"];
/** What a process can have, and more than any driver here needs. */
const MOST_VECTORS = 32;
const PAGE = 4096;
/** The longest window: what is mapped stays mapped. */
const MOST_REGISTERS = 2 ** 26;
const WIDTHS: Readonly<Record<string, ConfigField["bytes"]>> = { u8: 1, u16: 2, u32: 4, u64: 8 };

/** A name of driver or class, and a word that may be chosen. */
const NAME = /^[a-z][a-z0-9-]*$/;
/** A name that is written in a driver's code. */
const IDENTIFIER = /^[a-z][a-z0-9_]*$/;
const ENTRY = /^\.\/[^\\?#:\0]*\.[jt]s$/;
const HEX = /^[0-9a-f]+$/;
const CONFIG_TYPE = /^(u\d+)(?:\[([1-9]\d{0,2})\])?( rw)?$/;

/**
 * Reads the text of a `plugin.json`.
 *
 * @param text The file's text.
 * @param file Its path, for the result and for errors.
 * @throws {ManifestError} At the first thing that is wrong, an unknown field included.
 */
export function parseManifest(text: string, file: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ManifestError(`Cannot read ${file}: it is not JSON: ${(error as Error).message}`);
  }
  return checkManifest(json, file);
}

/**
 * Checks the contents of a `plugin.json`.
 *
 * @param json What the file holds.
 * @param file Its path or URL, for the result and for errors.
 * @throws {ManifestError} As {@linkcode parseManifest}.
 */
export function checkManifest(json: unknown, file: string): Manifest {
  try {
    return { ...manifest(json), file };
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    const where = error.field === "" ? file : `${file}, field ${error.field}`;
    throw new ManifestError(`Cannot read ${where}: ${error.message}`);
  }
}

/** What is wrong in a manifest, of whichever file it is. */
class Wrong extends Error {
  constructor(readonly field: string, found: unknown, wanted: string) {
    super(`found ${show(found)}, wanted ${wanted}`);
  }
}

function wrong(field: string, found: unknown, wanted: string): never {
  throw new Wrong(field, found, wanted);
}

/** A found value, short enough for a message. */
function show(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

type Fields = Readonly<Record<string, unknown>>;

function manifest(json: unknown): Omit<Manifest, "file"> {
  const top = known(json, "", FIELDS);
  // For editors only: nothing is fetched.
  if (top.$schema !== undefined) string(top.$schema, "$schema", /./, "the address of a schema");
  return {
    name: string(top.name, "name", NAME, "lower-case letters, digits and hyphens"),
    entry: entry(top.entry),
    class: string(top.class, "class", NAME, "lower-case letters, digits and hyphens"),
    match: rules(top.match).map((rule, index) => match(rule, `match[${index}]`)),
    limits: limits(top.limits),
    config: config(top.config),
    features: features(top.features),
    tunables: tunables(top.tunables),
    ...bus(top),
    ...line("description", top.description),
    ...line("version", top.version),
  };
}

function object(value: unknown, field: string, wanted: string): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Fields
    : wrong(field, value, wanted);
}

function known(value: unknown, field: string, names: readonly string[]): Fields {
  const all = names.join(", ");
  const fields = object(value, field, `an object with ${all}`);
  for (const [name, inner] of Object.entries(fields)) {
    if (names.includes(name)) continue;
    wrong(field === "" ? name : `${field}.${name}`, inner, `nothing: the known fields are ${all}`);
  }
  return fields;
}

function string(value: unknown, field: string, form: RegExp, wanted: string): string {
  return typeof value === "string" && form.test(value) ? value : wrong(field, value, wanted);
}

function identifier(name: string, field: string, given: unknown): void {
  if (!IDENTIFIER.test(name)) wrong(field, given, "a name of lower-case letters, digits and _");
}

function isWhole(value: unknown, least: number, greatest: number): value is number {
  return Number.isInteger(value) && value as number >= least && value as number <= greatest;
}

function whole(value: unknown, field: string, least: number, greatest: number): number {
  return isWhole(value, least, greatest)
    ? value
    : wrong(field, value, `a whole number from ${least} to ${greatest}`);
}

/** The entry stays in the plugin's folder: relative, and with no way up. */
function entry(value: unknown): string {
  const wanted = "the path of a .ts or .js file in the plugin's folder, like ./mod.ts";
  const path = string(value, "entry", ENTRY, wanted);
  return path.split("/").includes("..") ? wrong("entry", value, wanted) : path;
}

function rules(value: unknown): readonly unknown[] {
  return Array.isArray(value) && value.length > 0
    ? value
    : wrong("match", value, "a list of at least one rule");
}

function match(value: unknown, field: string): Match {
  const names = Object.keys(MATCH_FIELDS);
  const rule = known(value, field, names);
  const entries = Object.entries(rule);
  if (entries.length === 0) wrong(field, value, `at least one of ${names.join(", ")}`);
  for (const [key, digits] of entries) {
    const most = MATCH_FIELDS[key as MatchField];
    // Half a byte of a class means nothing; the other numbers are always given in full.
    const lengths = key === "class" ? [2, 4, 6] : [most];
    const fits = typeof digits === "string" && HEX.test(digits) && lengths.includes(digits.length);
    if (!fits) {
      wrong(`${field}.${key}`, digits, `${lengths.join(", ")} hexadecimal digits in lower case`);
    }
  }
  return rule as Match;
}

function limits(value: unknown = {}): Limits {
  const given = known(value, "limits", Object.keys(LIMITS));
  const limit = (key: keyof Limits) => {
    const { least, greatest, usual } = LIMITS[key];
    return whole(given[key] ?? usual, `limits.${key}`, least, greatest);
  };
  return { memoryMiB: limit("memoryMiB"), heapMiB: limit("heapMiB") };
}

/** Fields must stand at multiples of their own width, or 4: a device answers no other access. */
function config(value: unknown = {}): readonly ConfigField[] {
  const fields = object(value, "config", 'an object like { "capacity": "u64" }');
  let offset = 0;
  return Object.entries(fields).flatMap(([name, type]): ConfigField[] => {
    const [, width = "", count, writable] = CONFIG_TYPE.exec(String(type)) ?? [];
    const bytes = WIDTHS[width];
    if (bytes === undefined) {
      const wanted = `${Object.keys(WIDTHS).join(", ")}, several as "u8[6]", or "u32 rw"`;
      return wrong(`config.${name}`, type, wanted);
    }
    if (offset % Math.min(bytes, 4) !== 0) {
      wrong(`config.${name}`, type, `a field that may stand at offset ${offset}`);
    }
    offset += bytes * Number(count ?? 1);
    const field = { name, bytes, ...(writable && { writable: true }) };
    if (count === undefined) return [field];
    return Array.from({ length: Number(count) }, (_, i) => ({ ...field, name: `${name}[${i}]` }));
  });
}

/** What says how its devices are brought up; each kind has fields of its own. */
function bus(top: Fields): { pci?: PciNeeds } {
  const { bus = "virtio", registers, vectors = 1, addressBits = 64 } = top;
  if (!BUSES.includes(bus as string)) wrong("bus", bus, `one of ${BUSES.join(", ")}`);
  const foreign = bus === "virtio"
    ? ["registers", "vectors", "addressBits"]
    : ["config", "features"];
  for (const field of foreign) {
    if (top[field] === undefined) continue;
    wrong(field, top[field], `nothing: it means nothing on the bus ${bus}`);
  }
  if (bus === "virtio") return {};
  return {
    pci: {
      vectors: whole(vectors, "vectors", 0, MOST_VECTORS),
      addressBits: whole(addressBits, "addressBits", 20, 64),
      registers: windows(registers),
    },
  };
}

/** `{ "control": { "bar": 0, "bytes": 4096 } }`. */
function windows(value: unknown): readonly RegisterNeed[] {
  const like = 'an object like { "control": { "bar": 0, "bytes": 4096 } }';
  let taken = 0;
  return Object.entries(object(value, "registers", like)).map(([name, given]): RegisterNeed => {
    const field = `registers.${name}`;
    identifier(name, field, given);
    const window = known(given, field, ["bar", "offset", "bytes", "doorbells"]);
    const { offset = 0, bytes, doorbells = false } = window;
    const bar = whole(window.bar, `${field}.bar`, 0, 5);
    if (!isWhole(offset, 0, 2 ** 40) || offset % PAGE !== 0) {
      return wrong(`${field}.offset`, offset, `a multiple of ${PAGE}`);
    }
    if (!isWhole(bytes, 4, MOST_REGISTERS) || bytes % 4 !== 0) {
      return wrong(`${field}.bytes`, bytes, `a multiple of 4 up to ${MOST_REGISTERS}`);
    }
    if (typeof doorbells !== "boolean") {
      return wrong(`${field}.doorbells`, doorbells, "true or false");
    }
    if (doorbells && (bytes > PAGE || taken++ > 0)) {
      wrong(`${field}.doorbells`, doorbells, `one window of doorbells, of at most ${PAGE} bytes`);
    }
    return { name, bar, offset, bytes, ...(doorbells && { doorbells }) };
  });
}

/** `{ "NAME": 9 }`, or with needs `{ "NAME": [11, "OTHER", "THIS|THAT"] }`. */
function features(value: unknown = {}): readonly FeatureRule[] {
  const given = object(value, "features", 'an object like { "VIRTIO_BLK_F_FLUSH": 9 }');
  const entries = Object.entries(given).map(([name, given]) => {
    const [bit, ...needs] = Array.isArray(given) ? given : [given];
    if (!isWhole(bit, 0, 127) || bit >= 24 && bit <= 40) {
      return wrong(`features.${name}`, bit, "a bit of the device type: 0 to 23 or 41 to 127");
    }
    return { name, bit, needs };
  });
  const number = (of: string, name: unknown) =>
    entries.find((entry) => entry.name === name)?.bit ??
      wrong(`features.${of}`, name, "the name of another feature in this file");
  return entries.map(({ name, bit, needs }) => ({
    name,
    bit,
    needs: needs.map((need) => String(need).split("|").map((each) => number(name, each))),
  }));
}

/**
 * `{ "csum_disable": false, "queues": { "usual": 0, "least": 0, "greatest": 16 }, "order": ["spec", "reversed"] }`: a
 * switch and its usual position, a number, or words of which the first is the usual one.
 */
function tunables(value: unknown = {}): readonly Tunable[] {
  const all = object(value, "tunables", 'an object like { "csum_disable": false }');
  return Object.entries(all).map(([name, given]): Tunable => {
    const field = `tunables.${name}`;
    identifier(name, field, given);
    if (typeof given === "boolean") return { name, usual: given };
    if (Array.isArray(given)) {
      const word = (each: unknown) => typeof each === "string" && NAME.test(each);
      return given.length > 0 && given.every(word)
        ? { name, usual: given[0], words: given }
        : wrong(field, given, "words of lower-case letters, digits and hyphens");
    }
    const bounds = ["usual", "least", "greatest"] as const;
    const number = known(given, field, bounds);
    for (const bound of bounds) {
      if (Number.isSafeInteger(number[bound])) continue;
      wrong(`${field}.${bound}`, number[bound], "a whole number");
    }
    const tunable = { name, ...number } as Extract<Tunable, { least: number }>;
    return fits(tunable, tunable.usual)
      ? tunable
      : wrong(`${field}.usual`, tunable.usual, tunableValues(tunable));
  });
}

/** One line of text, if it is there: these are printed, so nothing in them may steer a terminal. */
function line<K extends "description" | "version">(key: K, value: unknown): { [P in K]?: string } {
  if (value === undefined) return {};
  const text = string(value, key, /^\P{Cc}+$/u, "one line of text");
  return { [key]: text } as { [P in K]?: string };
}
