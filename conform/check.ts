import type { Rig } from "./rig.ts";

/** What a check finds. */
export type Verdict = "conforms" | "violates" | "wedged" | "cannot tell" | "not applicable";

/** One thing that the specification says of devices. */
export interface Rule {
  /** What it is called: `<subject>.<what>`. */
  readonly name: string;
  /** Where the specification says so (VirtIO 1.4; those of PCI name it). */
  readonly section: string;
  /** What a device that conforms does, as a sentence without its subject. */
  readonly does: string;
  /** The device type that it is for (5); every type if left out. */
  readonly type?: number;
  /** Whether the specification says SHOULD, and not MUST. */
  readonly should?: boolean;
  /** Whether the check itself breaks the rules, so that it runs only where it is asked for. */
  readonly misuse?: boolean;
  /** Whether it takes so long that it runs only where it is asked for by its name. */
  readonly long?: boolean;
  /** Whether it writes what a device keeps, such as sectors; what stood there is put back. */
  readonly writes?: boolean;
}

/** How that is tried. */
export interface Check extends Rule {
  /**
   * Tries it, on a device that was reset and not touched since.
   *
   * @throws {Finding} If it finds anything but that the device conforms.
   */
  run(rig: Rig): Promise<void> | void;
}

/** A verdict other than that a device conforms, on its way to the run. */
export class Finding extends Error {
  /** The class, for `catch` blocks that cannot import it. */
  override readonly name = "Finding";

  /** Makes it; `why` is what was seen, as a sentence without a full stop. */
  constructor(readonly verdict: Exclude<Verdict, "conforms">, why: string) {
    super(why);
  }
}

/** The device breaks the rule that is checked. */
export function violation(why: string): Finding {
  return new Finding("violates", why);
}

/** The device does not come to an end. */
export function wedged(why: string): Finding {
  return new Finding("wedged", why);
}

/** The rule says nothing about such a device. */
export function notApplicable(why: string): Finding {
  return new Finding("not applicable", why);
}

/** What there is to see from here does not decide it. */
export function cannotTell(why: string): Finding {
  return new Finding("cannot tell", why);
}

/** Throws a violation unless `holds`. */
export function must(holds: boolean, why: string | (() => string)): asserts holds {
  if (!holds) throw violation(typeof why === "string" ? why : why());
}

/** Throws that the rule is not about such a device, unless `holds`. */
export function needs(holds: boolean, why: string): asserts holds {
  if (!holds) throw notApplicable(why);
}
