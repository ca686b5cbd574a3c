import type { FeatureRule } from "../virtio/features.ts";
import type { Match } from "../pci/match.ts";
import type { Tunable } from "./tunables.ts";

/** What a driver's `plugin.json` says: enough to choose the driver without running any of it. */
export interface Manifest {
  /** Name of the driver: lower-case letters, digits, hyphens. */
  readonly name: string;
  /** The driver's module, relative to the file: `"./mod.ts"`. */
  readonly entry: string;
  /** What its devices are to an application: the name of a class. */
  readonly class: string;
  /** The devices that it drives: those that any of these rules fits. Never empty. */
  readonly match: readonly Match[];
  /** What its process may use. */
  readonly limits: Limits;
  /**
   * The fields of the device-specific configuration in their order, each with its width in bytes: the core reads
   * each as a whole (virtio 1.4, 4.1.3.1). What is not named here the driver does not see.
   */
  readonly config: readonly ConfigField[];
  /**
   * The feature bits of the device type, by their names in the specification, and what each needs. The core never
   * offers a feature to the driver without what it needs.
   */
  readonly features: readonly FeatureRule[];
  /** What its user may choose. */
  readonly tunables: readonly Tunable[];
  /** What it needs of devices that are no VirtIO devices: there if it says `"bus": "pci"`. */
  readonly pci?: PciNeeds;
  /** One line for people. */
  readonly description?: string;
  /** The driver's version. */
  readonly version?: string;
  /** The file that it was read from. */
  readonly file: string;
}

/** What a driver of PCI devices that are no VirtIO devices needs of them. */
export interface PciNeeds {
  /** The registers that it uses, by names of its own. */
  readonly registers: readonly RegisterNeed[];
  /** How many interrupts it uses, 0 to 32; 1 if left out. It gets fewer where the device has fewer. */
  readonly vectors: number;
  /** Bits of an address that its devices have for memory, 20 to 64; 64 if left out. */
  readonly addressBits: number;
}

/** A part of a memory BAR. */
export interface RegisterNeed {
  /** Its name in the driver. */
  readonly name: string;
  /** Number of the BAR, 0 to 5. */
  readonly bar: number;
  /** Where it begins in the BAR, a multiple of 4096; 0 if left out. */
  readonly offset: number;
  /** Its length, a multiple of 4. */
  readonly bytes: number;
  /**
   * Whether it holds doorbells, of 4 bytes each: registers of which only the value written last counts. Then writing one
   * costs no call to the core. One window of at most 4096 bytes may.
   */
  readonly doorbells?: boolean;
}

/** One field of device-specific configuration. Of `"mac": "u8[6]"`, `mac[0]` to `mac[5]` are one each. */
export interface ConfigField {
  /** Its name in the specification. */
  readonly name: string;
  /** Its width in bytes. */
  readonly bytes: 1 | 2 | 4 | 8;
  /** Whether the driver may write it. */
  readonly writable?: boolean;
}

/** What a driver's process may use. */
export interface Limits {
  /** Memory for its rings and buffers, which the device reaches, in MiB. */
  readonly memoryMiB: number;
  /** JavaScript heap, in MiB. */
  readonly heapMiB: number;
}

/** A `plugin.json` that is wrong. The message names the file, the field, what was found and what is wanted. */
export class ManifestError extends SyntaxError {
  /** For `catch` blocks that cannot import the class. */
  override readonly name = "ManifestError";
}
