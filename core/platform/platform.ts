// Where devices come from.

import type { PciFunction } from "../pci/function.ts";

/** What a machine is. */
export interface Machine {
  /** Which machine this is: the one we run on, a QEMU of our own, one made of device models, or of other programs. */
  readonly kind: "local" | "qemu" | "simulated" | "vhost-user";
  /** One line for people, for example `"QEMU 7.2.22 q35"`. */
  readonly description: string;
}

/** Where devices come from. */
export interface Platform extends Machine, AsyncDisposable {
  /** The machine's PCI functions in the order of their addresses, as of its opening or the last refresh. */
  readonly functions: readonly PciFunction[];
  /** Looks again, where functions can come and go. */
  refresh?(): void;
  /** Where the machine is a process: a descriptor that is readable when it has ended, and why it has. */
  readonly end?: { readonly fd: number; readonly reason: () => string };
}
