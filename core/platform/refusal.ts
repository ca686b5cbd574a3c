/** A device is not driven because that would not be safe. The message says why, and what would be. */
export class Refusal extends Error {
  /** The class, for code that has another copy of it. */
  override readonly name = "Refusal";
}
