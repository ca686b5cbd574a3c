/** An address at which a machine has no function. */
export class NoSuchFunction extends RangeError {
  /** The class, for who catches it elsewhere. */
  override readonly name = "NoSuchFunction";
}
