/** An address at which a machine has no function. */
export class NoSuchFunction extends RangeError {
  /** The class, for code that has another copy of it. */
  override readonly name = "NoSuchFunction";
}
