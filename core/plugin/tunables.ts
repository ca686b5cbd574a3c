/** What a driver lets its user choose, by name: each has a value, its usual one if the user said nothing. */
export type Tunables = Readonly<Record<string, TunableValue>>;

/** A choice: a switch, a number, or one of some words. */
export type TunableValue = boolean | number | string;

/** What may be chosen for one tunable. */
export type Tunable =
  & {
    /** The name by which the user chooses. */
    readonly name: string;
  }
  & ({
    /** What holds if the user says nothing: a switch. */
    readonly usual: boolean;
  } | {
    /** What holds if the user says nothing: a whole number. */
    readonly usual: number;
    /** The smallest number that may be chosen. */
    readonly least: number;
    /** The largest. */
    readonly greatest: number;
  } | {
    /** What holds if the user says nothing: one of the words. */
    readonly usual: string;
    /** All that may be chosen. */
    readonly words: readonly string[];
  });

/** A choice that cannot be. The message says which ones can. */
export class TunableError extends RangeError {
  /** For `catch` blocks that cannot import the class. */
  override readonly name = "TunableError";
}

/** The driver that a choice is for. */
interface Tuned {
  /** Its name. */
  readonly name: string;
  /** What its user may choose. */
  readonly tunables: readonly Tunable[];
}

/**
 * Holds choices against what the drivers let their users choose.
 *
 * @param given By the names of driver and tunable, as in `"vtnet.csum_disable"`.
 * @throws {TunableError} At the first one that no driver knows, or whose value cannot be; it says what can.
 */
export function checkTunables(given: Tunables, drivers: readonly Tuned[]): void {
  for (const [path, value] of Object.entries(given)) {
    const [driver = "", name = "", ...rest] = path.split(".");
    const fail = (why: string) => {
      throw new TunableError(`Cannot set ${path} to ${JSON.stringify(value)}: ${why}`);
    };
    const tuned = drivers.filter((candidate) => candidate.name === driver);
    if (tuned.length === 0 || rest.length > 0) {
      fail(`its name is no driver's, a dot, and a tunable; ${names("drivers", drivers)}`);
    }
    const tunables = tuned.flatMap(({ tunables }) => tunables);
    const fitting = tunables.filter((tunable) => tunable.name === name);
    if (fitting.length === 0) fail(`the driver has no such tunable; ${names("it has", tunables)}`);
    if (!fitting.some((tunable) => fits(tunable, value))) {
      fail(`wanted ${tunableValues(fitting[0]!)}`);
    }
  }
}

/** The values for one driver, chosen ones and usual ones. */
export function tunablesFor({ name, tunables }: Tuned, given: Tunables): Tunables {
  return Object.fromEntries(
    tunables.map((tunable) => [tunable.name, given[`${name}.${tunable.name}`] ?? tunable.usual]),
  );
}

/** Whether a tunable may have this value. */
export function fits(tunable: Tunable, value: unknown): boolean {
  if ("words" in tunable) return tunable.words.some((word) => word === value);
  if (!("least" in tunable)) return typeof value === "boolean";
  return typeof value === "number" && Number.isInteger(value) && value >= tunable.least &&
    value <= tunable.greatest;
}

/** What values a tunable may have, for people. */
export function tunableValues(tunable: Tunable): string {
  if ("words" in tunable) return `one of ${tunable.words.join(", ")}`;
  if (!("least" in tunable)) return "true or false";
  return `a whole number from ${tunable.least} to ${tunable.greatest}`;
}

function names(what: string, list: readonly { readonly name: string }[]): string {
  return `${what} ${[...new Set(list.map(({ name }) => name))].join(", ") || "none"}`;
}
