/** What a PCI function says of itself cannot be true; nothing may be built on it. */
export class PciFault extends Error {
  override readonly name = "PciFault";
  /** Where in the configuration space the false statement stands, in bytes. */
  readonly offset: number;

  /** Makes the fault of a `statement`, for example `"the capability pointer 0x13 is not a multiple of 4"`. */
  constructor(statement: string, offset: number) {
    super(
      `Cannot use the PCI function: ${statement} (at ${hex(offset)} of its configuration space)`,
    );
    this.offset = offset;
  }
}

/** A number as PCI documents write it: `0x1af4`. */
export function hex(value: number, digits = 2): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}
