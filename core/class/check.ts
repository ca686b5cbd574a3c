/**
 * What the check of a class gets and gives: it puts a device to work through its client, and says what came of it.
 *
 * @module
 */

/** How an application wants a device checked. */
export interface CheckOptions {
  /**
   * Whether it may leave something changed: what a disk holds, what others see on a network. Without, a check only looks,
   * and tries what is undone at once.
   */
  readonly write: boolean;
  /** Is told what begins. */
  readonly step?: Step;
}

/**
 * Says what a check begins to do: each step has its own deadline, and one that takes too long is named.
 *
 * @param what As in `late: reading random bytes`.
 * @param progress How far it is by now, for steps that may take long.
 */
export type Step = (what: string, progress?: () => string) => void;

/** What the check of a class gets besides the client. */
export interface CheckRequest<Properties = unknown> extends Required<CheckOptions> {
  /** What the driver told last about its device, checked. */
  readonly properties: Readonly<Properties>;
}

/** What came of a check. */
export interface CheckResult {
  /** Everything that was looked at. The device passed if all of these did. */
  readonly findings: readonly Finding[];
  /** Numbers and texts for programs, with the unit in each name. */
  readonly figures: Readonly<Record<string, string | number | boolean>>;
  /** The most important figures, for people: one line. */
  readonly summary: string;
  /** The device has nothing on which it could be checked, so that it did not pass either. */
  readonly nothing?: boolean;
}

/** One thing that was looked at. */
export interface Finding {
  /** What, in few words. */
  readonly name: string;
  /** Whether it was as it should be. */
  readonly passed: boolean;
  /** What was found. */
  readonly detail: string;
}

/**
 * Makes sure that a check gave a result: its class may be a third party's JavaScript.
 *
 * @throws TypeError If it did not.
 */
export function checkedResult(result: CheckResult): CheckResult {
  const { findings, figures, summary } = Object(result) as Partial<CheckResult>;
  const isFinding = ({ name, passed, detail }: Finding) =>
    typeof name === "string" && typeof passed === "boolean" && typeof detail === "string";
  const sound = Array.isArray(findings) && findings.every((each) => isFinding(Object(each))) &&
    typeof figures === "object" && figures !== null && typeof summary === "string";
  if (sound) return result;
  throw new TypeError(
    "The check of the class gives no result: wanted findings with name, passed and detail, figures, and a summary",
  );
}
