/**
 * The device in software (QEMU, docs/specs/pvpanic.rst).
 *
 * @module
 */

import type { FunctionModel, Width } from "@virtio/deno/simulation";

/** A device that tells of panics. */
export class PanicModel implements FunctionModel {
  readonly vendor = 0x1b36;
  readonly device = 0x0011;
  readonly classCode = 0x088000;
  readonly revision = 1;
  readonly bars = { 0: { bytes: 16 } };
  readonly pin = false;
  /** The events that it was told of. */
  readonly told: number[] = [];
  /** The events that it knows. */
  readonly known: number;

  constructor(known = 3) {
    this.known = known;
  }

  read(_bar: number, offset: number, _width: Width): number {
    return offset === 0 ? this.known : 0;
  }

  write(_bar: number, offset: number, _width: Width, value: number): void {
    if (offset === 0) this.told.push(value & this.known);
  }
}
