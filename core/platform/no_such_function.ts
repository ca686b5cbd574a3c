/** An address at which a machine has no function. */
export class NoSuchFunction extends RangeError {
  /** The class, for `catch` blocks that cannot import it. */
  override readonly name = "NoSuchFunction";
}
