import type { FeatureRule } from "../virtio/features.ts";
import { type Match, MATCH_FIELDS, type MatchField } from "../pci/match.ts";
import { fits, type Tunable, tunableValues } from "./tunables.ts";

/** What a driver's `plugin.json` says: enough to choose the driver without running any of it. */
export interface Manifest {
  /** Name of the driver: lower-case letters, digits, hyphens. */
  readonly name: string;
  /** The driver's module, relative to the file: `"./mod.ts"`. */
  readonly entry: string;
  /** What its devices are to an application: the name of a class. */
  readonly class: string;
  /** The devices that it drives: those that any of these rules fits. Never empty. */
  readonly match: readonly Match[];
  /** What its process may use. */
  readonly limits: Limits;
  /**
   * The fields of the device-specific configuration in their order, each with its width in bytes: the core reads
   * each as a whole (virtio 1.4, 4.1.3.1). What is not named here the driver does not see.
   */
  readonly config: readonly ConfigField[];
  /**
   * The feature bits of the device type, by their names in the specification, and what each needs. The core never
   * offers a feature to the driver without what it needs.
   */
  readonly features: readonly FeatureRule[];
  /** What its user may choose. */
  readonly tunables: readonly Tunable[];
  /** What it needs of devices that are no VirtIO devices: there if it says `"bus": "pci"`. */
  readonly pci?: PciNeeds;
  /** One line for people. */
  readonly description?: string;
  /** The driver's version. */
  readonly version?: string;
  /** The file that it was read from. */
  readonly file: string;
}

/** What a driver of PCI devices that are no VirtIO devices needs of them. */
export interface PciNeeds {
  /** The registers that it uses, by names of its own. */
  readonly registers: readonly RegisterNeed[];
  /** How many interrupts it uses, 0 to 32; 1 if left out. It gets fewer where the device has fewer. */
  readonly vectors: number;
  /** Bits of an address that its devices have for memory, 20 to 64; 64 if left out. */
  readonly addressBits: number;
}

/** A part of a memory BAR. */
export interface RegisterNeed {
  /** Its name in the driver. */
  readonly name: string;
  /** Number of the BAR, 0 to 5. */
  readonly bar: number;
  /** Where it begins in the BAR, a multiple of 4096; 0 if left out. */
  readonly offset: number;
  /** Its length, a multiple of 4. */
  readonly bytes: number;
  /**
   * Whether it holds doorbells, of 4 bytes each: registers of which only the value written last counts. Then writing one
   * costs no call to the core. One window of at most 4096 bytes may.
   */
  readonly doorbells?: boolean;
}

/** One field of device-specific configuration. Of `"mac": "u8[6]"`, `mac[0]` to `mac[5]` are one each. */
export interface ConfigField {
  /** Its name in the specification. */
  readonly name: string;
  /** Its width in bytes. */
  readonly bytes: 1 | 2 | 4 | 8;
  /** Whether the driver may write it. */
  readonly writable?: boolean;
}

/** What a driver's process may use. */
export interface Limits {
  /** Memory for its rings and buffers, which the device reaches, in MiB. */
  readonly memoryMiB: number;
  /** JavaScript heap, in MiB. */
  readonly heapMiB: number;
}

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
const NAME = /^[a-z][a-z0-9-]*$/;
const ENTRY = /^\.\/[^\\?#:\0]*\.[jt]s$/;
const HEX = /^[0-9a-f]+$/;
const TUNABLE = /^[a-z][a-z0-9_]*$/;
const WORD = /^[a-z][a-z0-9-]*$/;

/** A `plugin.json` that is wrong. The message names the file, the field, what was found and what is wanted. */
export class ManifestError extends SyntaxError {
  /** For `catch` blocks that cannot import the class. */
  override readonly name = "ManifestError";
}

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
  const wrong: Wrong = (field, found, wanted) => {
    const where = field === "" ? file : `${file}, field ${field}`;
    throw new ManifestError(`Cannot read ${where}: found ${show(found)}, wanted ${wanted}`);
  };

  const top = object(json, "", FIELDS, wrong);
  // For editors only: nothing is fetched.
  if (top.$schema !== undefined) {
    string(top.$schema, "$schema", wrong, /./, "the address of a schema");
  }
  return {
    name: string(top.name, "name", wrong, NAME, "lower-case letters, digits and hyphens"),
    entry: entry(top.entry, wrong),
    class: string(top.class, "class", wrong, NAME, "lower-case letters, digits and hyphens"),
    match: list(top.match, wrong).map((rule, index) => match(rule, `match[${index}]`, wrong)),
    limits: limits(top.limits, wrong),
    config: config(top.config, wrong),
    features: features(top.features, wrong),
    tunables: tunables(top.tunables, wrong),
    ...bus(top, wrong),
    ...optional("description", top.description, wrong),
    ...optional("version", top.version, wrong),
    file,
  };
}

type Wrong = (field: string, found: unknown, wanted: string) => never;
type Fields = Readonly<Record<string, unknown>>;

function object(value: unknown, field: string, known: readonly string[], wrong: Wrong): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return wrong(field, value, `an object with ${known.join(", ")}`);
  }
  for (const [key, inner] of Object.entries(value)) {
    if (!known.includes(key)) {
      const path = field === "" ? key : `${field}.${key}`;
      wrong(path, inner, `nothing: the known fields are ${known.join(", ")}`);
    }
  }
  return value as Fields;
}

function string(value: unknown, field: string, wrong: Wrong, form: RegExp, wanted: string): string {
  return typeof value === "string" && form.test(value) ? value : wrong(field, value, wanted);
}

/** The entry stays in the plugin's folder: relative, and with no way up. */
function entry(value: unknown, wrong: Wrong): string {
  const wanted = "the path of a .ts or .js file in the plugin's folder, like ./mod.ts";
  const path = string(value, "entry", wrong, ENTRY, wanted);
  return path.split("/").includes("..") ? wrong("entry", value, wanted) : path;
}

function list(value: unknown, wrong: Wrong): readonly unknown[] {
  return Array.isArray(value) && value.length > 0
    ? value
    : wrong("match", value, "a list of at least one rule");
}

function match(value: unknown, field: string, wrong: Wrong): Match {
  const rule = object(value, field, Object.keys(MATCH_FIELDS), wrong);
  const entries = Object.entries(rule);
  if (entries.length === 0) {
    wrong(field, value, `at least one of ${Object.keys(MATCH_FIELDS).join(", ")}`);
  }
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

function limits(value: unknown, wrong: Wrong): Limits {
  const given = value === undefined ? {} : object(value, "limits", Object.keys(LIMITS), wrong);
  const limit = (key: keyof Limits) => {
    const { least, greatest, usual } = LIMITS[key];
    const found = given[key] ?? usual;
    return whole(found, least, greatest)
      ? found as number
      : wrong(`limits.${key}`, found, `a whole number from ${least} to ${greatest}`);
  };
  return { memoryMiB: limit("memoryMiB"), heapMiB: limit("heapMiB") };
}

const WIDTHS: Readonly<Record<string, ConfigField["bytes"]>> = { u8: 1, u16: 2, u32: 4, u64: 8 };
const CONFIG_TYPE = /^(u\d+)(?:\[([1-9]\d{0,2})\])?( rw)?$/;

/** Fields must stand at multiples of their own width, or 4: a device answers no other access. */
function config(value: unknown, wrong: Wrong): readonly ConfigField[] {
  if (value === undefined) return [];
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return wrong("config", value, 'an object like { "capacity": "u64" }');
  }
  let offset = 0;
  return Object.entries(value).flatMap(([name, type]): ConfigField[] => {
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

const BUSES = ["virtio", "pci"];
/** What a process can have, and more than any driver here needs. */
const MOST_VECTORS = 32;
const PAGE = 4096;
/** The longest window: what is mapped stays mapped. */
const MOST_REGISTERS = 2 ** 26;

/** What says how its devices are brought up; each kind has fields of its own. */
function bus(top: Fields, wrong: Wrong): { pci?: PciNeeds } {
  const { bus = "virtio", registers, vectors = 1, addressBits = 64 } = top;
  if (!BUSES.includes(bus as string)) wrong("bus", bus, `one of ${BUSES.join(", ")}`);
  const foreign = bus === "virtio"
    ? ["registers", "vectors", "addressBits"]
    : ["config", "features"];
  for (const field of foreign) {
    if (top[field] !== undefined) {
      wrong(field, top[field], `nothing: it means nothing on the bus ${bus}`);
    }
  }
  if (bus === "virtio") return {};
  if (!whole(vectors, 0, MOST_VECTORS)) {
    wrong("vectors", vectors, `a whole number from 0 to ${MOST_VECTORS}`);
  }
  if (!whole(addressBits, 20, 64)) {
    wrong("addressBits", addressBits, "a whole number from 20 to 64");
  }
  return {
    pci: {
      registers: windows(registers, wrong),
      vectors: vectors as number,
      addressBits: addressBits as number,
    },
  };
}

/** `{ "control": { "bar": 0, "bytes": 4096 } }`. */
function windows(value: unknown, wrong: Wrong): readonly RegisterNeed[] {
  const wanted = 'an object like { "control": { "bar": 0, "bytes": 4096 } }';
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return wrong("registers", value, wanted);
  }
  let taken = 0;
  return Object.entries(value).map(([name, given]) => {
    const field = `registers.${name}`;
    if (!TUNABLE.test(name)) wrong(field, given, "a name of lower-case letters, digits and _");
    const window = object(given, field, ["bar", "offset", "bytes", "doorbells"], wrong);
    const { bar, offset = 0, bytes, doorbells = false } = window;
    if (!whole(bar, 0, 5)) wrong(`${field}.bar`, bar, "a whole number from 0 to 5");
    if (!whole(offset, 0, 2 ** 40) || offset as number % PAGE !== 0) {
      wrong(`${field}.offset`, offset, `a multiple of ${PAGE}`);
    }
    if (!whole(bytes, 4, MOST_REGISTERS) || bytes as number % 4 !== 0) {
      wrong(`${field}.bytes`, bytes, `a multiple of 4 up to ${MOST_REGISTERS}`);
    }
    if (typeof doorbells !== "boolean") wrong(`${field}.doorbells`, doorbells, "true or false");
    if (doorbells && (bytes as number > PAGE || taken++ > 0)) {
      wrong(`${field}.doorbells`, doorbells, `one window of doorbells, of at most ${PAGE} bytes`);
    }
    return { name, bar, offset, bytes, ...(doorbells && { doorbells }) } as RegisterNeed;
  });
}

function whole(value: unknown, least: number, greatest: number): boolean {
  return typeof value === "number" && Number.isInteger(value) && value >= least &&
    value <= greatest;
}

/** `{ "NAME": 9 }`, or with needs `{ "NAME": [11, "OTHER", "THIS|THAT"] }`. */
function features(value: unknown, wrong: Wrong): readonly FeatureRule[] {
  if (value === undefined) return [];
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return wrong("features", value, 'an object like { "VIRTIO_BLK_F_FLUSH": 9 }');
  }
  const entries = Object.entries(value).map(([name, given]) => {
    const [bit, ...needs] = Array.isArray(given) ? given : [given];
    if (!Number.isInteger(bit) || bit < 0 || bit > 127 || (bit >= 24 && bit <= 40)) {
      wrong(`features.${name}`, bit, "a bit of the device type: 0 to 23 or 41 to 127");
    }
    return { name, bit: bit as number, needs };
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
function tunables(value: unknown, wrong: Wrong): readonly Tunable[] {
  if (value === undefined) return [];
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return wrong("tunables", value, 'an object like { "csum_disable": false }');
  }
  return Object.entries(value).map(([name, given]): Tunable => {
    const field = `tunables.${name}`;
    if (!TUNABLE.test(name)) wrong(field, given, "a name of lower-case letters, digits and _");
    if (typeof given === "boolean") return { name, usual: given };
    if (Array.isArray(given)) {
      const word = (each: unknown) => typeof each === "string" && WORD.test(each);
      return given.length > 0 && given.every(word)
        ? { name, usual: given[0], words: given }
        : wrong(field, given, "words of lower-case letters, digits and hyphens");
    }
    const bounds = ["usual", "least", "greatest"] as const;
    const number = object(given, field, bounds, wrong);
    for (const bound of bounds) {
      if (!Number.isSafeInteger(number[bound])) {
        wrong(`${field}.${bound}`, number[bound], "a whole number");
      }
    }
    const tunable = { name, ...number } as Extract<Tunable, { least: number }>;
    return fits(tunable, tunable.usual)
      ? tunable
      : wrong(`${field}.usual`, tunable.usual, tunableValues(tunable));
  });
}

/** One line of text, if it is there: these are printed, so nothing in them may steer a terminal. */
function optional<K extends "description" | "version">(
  key: K,
  value: unknown,
  wrong: Wrong,
): { [P in K]?: string } {
  if (value === undefined) return {};
  const text = string(value, key, wrong, /^\P{Cc}+$/u, "one line of text");
  return { [key]: text } as { [P in K]?: string };
}

/** A found value, short enough for a message. */
function show(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
