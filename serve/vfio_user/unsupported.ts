/** What the protocol has and this server has not: the client is told by an error, and goes on. */
export class Unsupported extends Error {
  /** Tells the error apart. */
  override readonly name = "Unsupported";
}
