/** A device broke a rule of the specification, or did not answer in time. */
export class DeviceFault extends Error {
  /** The class, for `catch` blocks that cannot import it. */
  override readonly name = "DeviceFault";
  /** Number of the rule in the catalogue of device lies, for example `"D-24"`. */
  readonly rule: string;

  /** Makes the fault for breaking `rule`; `what` is a sentence without a period. */
  constructor(rule: string, what: string) {
    super(`${what} [${rule}]`);
    this.rule = rule;
  }
}
