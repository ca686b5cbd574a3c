/**
 * What the commands need of the core, in one place: {@linkcode main.ts} hands the real thing in, tests a fake.
 *
 * @module
 */
import type { PciIdentity } from "../core/pci/identity.ts";
import type { PciFunction, Platform } from "../core/platform/platform.ts";
import type { Choice } from "../core/plugin/choose.ts";
import type { Manifest } from "../core/plugin/manifest.ts";

/** Where the devices are: on this machine, in a QEMU of our own, or made of device models. */
export type Machine = Platform["kind"];

/** Where a driver runs: in a process of its own, or in this one. */
export type Isolation = "process" | "inline";

/** The core, as far as the commands know it. */
export interface System {
  /** Finds or starts a machine. `qemuArguments` are for `qemu` only. */
  openMachine(
    options: { readonly machine: Machine; readonly qemuArguments: readonly string[] },
  ): Promise<Platform>;
  /**
   * The manifests of the drivers in these folders, and after them those of our own.
   *
   * @throws {ManifestError} If one is wrong.
   */
  loadManifests(folders: readonly string[]): readonly Manifest[] | Promise<readonly Manifest[]>;
  /** Makes the kernel for a machine. Takes no device yet. The platform stays the caller's to dispose. */
  openKernel(options: {
    readonly platform: Platform;
    readonly manifests: readonly Manifest[];
    readonly isolation: Isolation;
    readonly log: (line: string) => void;
  }): Promise<Kernel>;
}

/** The kernel of one machine. Disposing it stops all drivers and gives all devices back. */
export interface Kernel extends AsyncDisposable {
  /** One for each PCI function, in the order of their addresses. */
  readonly nodes: readonly Node[];
  /** Puts a device to work. `address` is a full one, as in `PciFunction`. */
  attach(address: string): Promise<Device>;
}

/** A PCI function, who it is, and which driver was chosen for it and why. */
export interface Node extends Choice {
  /** The function. */
  readonly function: PciFunction;
  /** Who it says that it is. */
  readonly identity: PciIdentity;
}

/** A device at work. */
export type Device = DeviceOf<"entropy", EntropyClient> | DeviceOf<"block", BlockClient>;

/** A device of one class at work. */
export interface DeviceOf<Class extends string, Client> {
  /** Its full address. */
  readonly address: string;
  /** Name of its driver. */
  readonly driver: string;
  /** What it is to an application. */
  readonly class: Class;
  /** Where its driver runs. */
  readonly isolation: Isolation;
  /** The driver's process, if it has one. */
  readonly pid?: number;
  /** The features in use, by their names in the specification. */
  readonly features: readonly string[];
  /** Its queues. `size` is the number of descriptors in use. */
  readonly queues: readonly {
    readonly name: string;
    readonly index: number;
    readonly size: number;
  }[];
  /** What an application holds. */
  readonly client: Client;
  /** Everything that is known of it, for JSON. */
  describe(): unknown;
}

/** An entropy source. */
export interface EntropyClient {
  /** Reads exactly that many random bytes. `deadline` is in milliseconds. */
  read(bytes: number, options?: { readonly deadline?: number }): Promise<Uint8Array>;
}

/** A disk. Offsets and lengths are bytes, multiples of `blockSize`. */
export interface BlockClient {
  /** Size in bytes. */
  readonly capacity: number;
  /** Smallest unit in bytes. */
  readonly blockSize: number;
  /** Whether it refuses to be written. */
  readonly readOnly: boolean;
  /** Its serial number, up to 20 characters. */
  id(): Promise<string>;
  /** Reads. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Writes. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Waits until everything that was written so far will survive a loss of power. */
  flush(): Promise<void>;
}
