/** A device is not driven because that would not be safe. The message says why, and what would be. */
export class Refusal extends Error {
  /** The class, for `catch` blocks that cannot import it. */
  override readonly name = "Refusal";
}
