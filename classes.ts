/**
 * The classes of devices that come with the kernel.
 *
 * @module
 */

import { balloon } from "./classes/balloon/mod.ts";
import type { BalloonClient } from "./classes/balloon/client.ts";
import { parseMemoryStatistics } from "./classes/balloon/memory_statistics.ts";
import { block } from "./classes/block/mod.ts";
import type { BlockClient } from "./classes/block/client.ts";
import { console } from "./classes/console/mod.ts";
import type { ConsoleClient } from "./classes/console/client.ts";
import { entropy } from "./classes/entropy/mod.ts";
import type { EntropyClient } from "./classes/entropy/client.ts";
import { network } from "./classes/network/mod.ts";
import type { NetClient } from "./classes/network/client.ts";
import { scsi } from "./classes/scsi/mod.ts";
import type { ScsiClient } from "./classes/scsi/client.ts";
import type { ClientOf, DeviceClass } from "./core/class/mod.ts";
import { readText } from "./core/linux/file.ts";
import type { AnyDeviceOf, DeviceOf } from "./core/kernel/device.ts";

/** The classes that each kernel knows, by name. */
export type StandardClasses = {
  /** A source of random bytes. */
  readonly entropy: DeviceClass<EntropyClient>;
  /** A disk. */
  readonly block: DeviceClass<BlockClient>;
  /** A network card. */
  readonly network: DeviceClass<NetClient>;
  /** Serial ports. */
  readonly console: DeviceClass<ConsoleClient>;
  /** Memory that the machine may take back. */
  readonly balloon: DeviceClass<BalloonClient>;
  /** A SCSI adapter. */
  readonly scsi: DeviceClass<ScsiClient>;
};

/** Name of a class that each kernel knows. */
export type ClassName = keyof StandardClasses;

/** What an application holds of a device, by the name of its class. */
export type Clients = { readonly [Name in ClassName]: ClientOf<StandardClasses[Name]> };

/** A device of a class that each kernel knows. */
export type Device<Name extends ClassName = ClassName> = DeviceOf<StandardClasses, Name>;

/** A device of whatever class: looking at its `class` tells the type of its `client`. */
export type AnyDevice = AnyDeviceOf<StandardClasses>;

/** The classes that each kernel knows. */
export const CLASSES: StandardClasses = {
  entropy,
  block,
  network,
  console,
  balloon: balloon(() =>
    parseMemoryStatistics(readText("/proc/meminfo"), readText("/proc/vmstat"))
  ),
  scsi,
};
