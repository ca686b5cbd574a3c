/** The other side of a vhost-user connection broke a rule; the message says which one. The connection ends by it. */
export class VhostFault extends Error {
  /** Tells the error apart. */
  override readonly name = "VhostFault";
}
