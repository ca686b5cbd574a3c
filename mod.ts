/**
 * User-space VirtIO drivers on a plugin microkernel.
 *
 * {@linkcode openKernel} finds devices, starts an isolated driver for each that you attach, and hands you a client.
 *
 * @example Read from a simulated disk
 * ```ts
 * import { openKernel } from "@virtio/deno";
 *
 * await using kernel = await openKernel({ machine: "simulated" });
 * const disk = await kernel.attachFirst("block");
 * await disk.client.write(0, new Uint8Array(4096).fill(42));
 * await disk.client.flush();
 * console.log((await disk.client.read(0, 512))[0]); // 42
 * ```
 *
 * @module
 */

import * as argument from "./core/bus/arguments.ts";
import { checkDriveOptions } from "./core/kernel/drive_options.ts";
import { loadPlugin } from "./core/kernel/load_plugin.ts";
import { type DriveOptions, Kernel as KernelOf } from "./core/kernel/kernel.ts";
import type { PluginSource } from "./core/kernel/attachment.ts";
import { refuseDebugger } from "./core/kernel/refuse_debugger.ts";
import { InterruptLoop } from "./core/irq/interrupt_loop.ts";
import type { Platform } from "./core/platform/platform.ts";
import { openQemu, type QemuOptions } from "./core/platform/qemu/mod.ts";
import { openSimulated } from "./core/platform/simulated/simulated.ts";
import type { FunctionModel } from "./core/simulation/function_model.ts";
import { openLocal } from "./core/platform/vfio/local.ts";
import type { DeviceModel } from "./core/simulation/model.ts";
import { CLASSES, type StandardClasses } from "./classes.ts";
import type { DeviceClass } from "./core/class/define.ts";
import type { Classes } from "./core/kernel/device.ts";
import { DRIVERS, simulatedDevices } from "./drivers.ts";

/** Which machine to open, and what is in it. */
export interface MachineOptions {
  /** The machine that this program runs on, a QEMU of its own, or one made of device models. */
  readonly machine?: Platform["kind"];
  /** For `"qemu"`: its board, memory and devices. */
  readonly qemu?: QemuOptions;
  /** For `"simulated"`: its devices, of VirtIO or not; an entropy source and a disk if left out. */
  readonly devices?: readonly (DeviceModel | FunctionModel)[];
  /**
   * For `"local"`: whether to drive devices, too, that nothing keeps from reaching all memory of this machine; false if
   * left out.
   */
  readonly unsafeDma?: boolean;
}

/** No classes besides those that each kernel knows. */
export type NoClasses = Readonly<Record<never, never>>;

/** A kernel that knows these classes, and those that each kernel knows. */
export type Kernel<More extends Classes<More> = NoClasses> = KernelOf<StandardClasses & More>;

/** What {@linkcode openKernel} takes. */
export interface OpenOptions<More extends Classes<More> = NoClasses>
  extends MachineOptions, DriveOptions {
  /** Folders of drivers, each with a `plugin.json`; they go before those that come with the kernel. */
  readonly plugins?: readonly string[];
  /** More drivers, for example ones that the application trusts to run inline; they go before all others. */
  readonly drivers?: readonly PluginSource[];
  /**
   * More classes of devices by name, made by `defineClass`; they go before those that come with the kernel. The client of
   * a device is made by the class that its driver's `plugin.json` names.
   */
  readonly classes?: More;
}

/**
 * Opens a machine.
 *
 * @param loop What waits for the doorbells of a simulated machine, and for interrupt pins.
 */
function openMachine(
  { machine = "local", qemu = { arguments: [] }, devices, unsafeDma = false }: MachineOptions,
  loop: InterruptLoop,
): Promise<Platform> {
  switch (machine) {
    case "local":
      return Promise.resolve(openLocal({ loop, unsafeDma }));
    case "qemu":
      return openQemu(qemu, loop);
    case "simulated":
      return Promise.resolve(openSimulated({ devices: devices ?? simulatedDevices(), loop }));
  }
}

const MACHINES = ["local", "qemu", "simulated"] as const;

/** Checks what an application asks {@linkcode openKernel} for. Returns a copy. */
function checkOptions(given: OpenOptions): OpenOptions {
  const where = "openKernel";
  const options = { ...argument.record(given, where, "options") };
  const { machine = "local", qemu, devices, unsafeDma = false } = options;
  const { plugins = [], drivers = [], classes = {} } = options;
  argument.word(machine, where, "options.machine", MACHINES);
  argument.flag(unsafeDma, where, "options.unsafeDma");
  const each = (name: string, values: unknown, check: (value: never, name: string) => unknown) =>
    argument.list(values, where, name).forEach((value, i) =>
      check(value as never, `${name}[${i}]`)
    );
  const text = (value: unknown, name: string) => argument.text(value, where, name);
  const object = (value: object, name: string) => argument.record(value, where, name);
  const bytes = (value: unknown, name: string) => argument.integer(value, where, name, 1);
  each("options.plugins", plugins, text);
  each("options.drivers", drivers, (source: PluginSource, name) => {
    const { manifest, entry } = object(source, name) as PluginSource;
    object(manifest, `${name}.manifest`);
    text(entry, `${name}.entry`);
  });
  for (const [name, value] of Object.entries(object(classes, "options.classes"))) {
    object(value, `options.classes.${name}`);
    argument.callback((value as DeviceClass).open, where, `options.classes.${name}.open`);
  }
  if (devices !== undefined) each("options.devices", devices, object);
  if (qemu !== undefined) {
    object(qemu, "options.qemu");
    each("options.qemu.arguments", qemu.arguments, text);
    if (qemu.program !== undefined) text(qemu.program, "options.qemu.program");
    each("options.qemu.disks", qemu.disks ?? [], bytes);
    each("options.qemu.units", qemu.units ?? [], bytes);
  }
  return { ...options, ...checkDriveOptions(options, where) };
}

/**
 * Opens a machine and a kernel for it. Disposing the kernel stops all drivers and closes the machine.
 *
 * @throws ManifestError If a driver's `plugin.json` is wrong.
 * @throws TunableError If what is chosen for a driver cannot be.
 * @throws QemuGone If QEMU does not start.
 * @throws TypeError If an option is of the wrong kind.
 * @throws RangeError If a number among them cannot be.
 */
export async function openKernel<More extends Classes<More> = NoClasses>(
  options: OpenOptions<More> = {},
): Promise<Kernel<More>> {
  const { plugins = [], drivers = [], classes, ...rest } = checkOptions(options);
  const all = [...drivers, ...plugins.map(loadPlugin), ...DRIVERS];
  await using stack = new AsyncDisposableStack();
  stack.use(refuseDebugger());
  const loop = stack.use(new InterruptLoop());
  const platform = stack.use(await openMachine(rest, loop));
  const kernel = new KernelOf(
    {
      loop,
      platform,
      drivers: all,
      classes: { ...CLASSES, ...classes } as StandardClasses & More,
      close: () => kept.disposeAsync(),
    },
    rest,
  );
  const kept = stack.move();
  return kernel;
}

export type { DriveOptions, KernelOf, Platform, PluginSource, QemuOptions };
export { checkManifest, ManifestError } from "./core/plugin/manifest.ts";
export { TunableError } from "./core/plugin/tunables.ts";
export { BlockOperation, SECTOR } from "./classes/block/protocol.ts";
export { Status } from "./core/bus/lane.ts";
export { ScsiControl, ScsiResponse } from "./classes/scsi/protocol.ts";
export { formatScsiAddress, parseScsiAddress } from "./classes/scsi/address.ts";
export { ScsiDisk } from "./classes/scsi/disk.ts";
export { ScsiError } from "./classes/scsi/error.ts";
export { senseText } from "./classes/scsi/sense.ts";
export { ScsiStatus } from "./classes/scsi/status.ts";
export { VpdPage } from "./classes/scsi/vpd.ts";
export { RequestError } from "./core/bus/request_error.ts";
export { DriverGone } from "./core/kernel/conversation.ts";
export { PlanError } from "./core/binding/plan.ts";
export { QemuGone } from "./core/platform/qemu/mod.ts";
export { HANDING_DRIVERS, rebind } from "./core/platform/vfio/bind.ts";
export { NoSuchFunction } from "./core/platform/no_such_function.ts";
export { Refusal } from "./core/platform/refusal.ts";
export { bit, Feature } from "./core/virtio/features.ts";
export { DeviceFault } from "./core/pci/device_fault.ts";
export type { BalloonClient, BalloonState } from "./classes/balloon/client.ts";
export type {
  BalloonProperties,
  MemoryStatistic,
  MemoryStatistics,
} from "./classes/balloon/protocol.ts";
export type {
  BlockChange,
  BlockClient,
  Geometry,
  Lifetime,
  Topology,
} from "./classes/block/client.ts";
export type { BlockSlots } from "./classes/block/slots.ts";
export type { BlockZones, Zone, ZonedDisk, ZoneState } from "./classes/block/zones.ts";
export type { JobRequest, JobResult } from "./classes/block/jobs.ts";
export type { Done } from "./core/bus/client_lane.ts";
export { type ClientOf, defineClass, type DeviceClass } from "./core/class/define.ts";
export type { OpenClient, Told } from "./core/class/define.ts";
export type { CheckOptions, CheckResult, Finding, Step } from "./core/class/check.ts";
export type { AnyDevice, ClassName, Clients, Device, StandardClasses } from "./classes.ts";
export { mixEntropy, type MixOptions } from "./classes/entropy/mix_entropy.ts";
export type { EntropyClient, EntropySource, EntropyState } from "./classes/entropy/client.ts";
export type { EntropyTest } from "./classes/entropy/health.ts";
export type { ConsoleClient, PortChange } from "./classes/console/client.ts";
export type { ConsolePort, ConsoleSize } from "./classes/console/port.ts";
export type { ScsiClient, TaskFunction } from "./classes/scsi/client.ts";
export type { ScsiProperties } from "./classes/scsi/protocol.ts";
export type { ScsiAddress } from "./classes/scsi/address.ts";
export type { ScsiAnswer } from "./classes/scsi/answer.ts";
export type { ScsiCapacity } from "./classes/scsi/capacity.ts";
export type { CommandOptions } from "./classes/scsi/commands.ts";
export type { ScsiChange } from "./classes/scsi/event.ts";
export type { ScsiInquiry } from "./classes/scsi/inquiry.ts";
export type { ScsiUnit } from "./classes/scsi/scan.ts";
export type { ScsiSense } from "./classes/scsi/sense.ts";
export type { Feed } from "./core/class/news.ts";
export type { Frame, Segmentation, SegmentationType } from "./classes/network/frame.ts";
export type {
  NetProperties,
  ReceiveOffload,
  TransmitOffloadName,
} from "./classes/network/protocol.ts";
export type { NetChange, NetClient, NetOffloads } from "./classes/network/client.ts";
export type { Coalescing, NetCoalescing } from "./classes/network/coalescing.ts";
export type { NetFilter, ReceiveMode } from "./classes/network/filter.ts";
export type { HashSupport, NetSteering, RssOptions } from "./classes/network/steering.ts";
export type { NetReceiver, Received } from "./classes/network/receiver.ts";
export type { NetSlots, TransmitOffload } from "./classes/network/slots.ts";
export type {
  AnyDeviceOf,
  AttachedDevice,
  Classes,
  DeviceDescription,
  DeviceOf,
  QueueDescription,
} from "./core/kernel/device.ts";
export type { Isolation } from "./core/kernel/driver_host.ts";
export type { BindingDescription } from "./core/binding/binding.ts";
export type { AnyPlugin } from "./core/plugin/pci_plugin.ts";
export type { InterruptKind } from "./core/binding/interrupt_kind.ts";
export type { AnyKernel, Node } from "./core/kernel/kernel.ts";
export type {
  ConfigField,
  Limits,
  Manifest,
  PciNeeds,
  RegisterNeed,
} from "./core/plugin/manifest.ts";
export type { Tunable, Tunables, TunableValue } from "./core/plugin/tunables.ts";
export type { BlockDevice, BlockProperties } from "./classes/block/protocol.ts";
export type { Binding, BindRequest, HandingDriver } from "./core/platform/vfio/bind.ts";
export type { Mounts } from "./core/platform/vfio/mounts.ts";
export type { Exit } from "./core/linux/process.ts";
export type { PciIdentity } from "./core/pci/identity.ts";
export type { Match, MatchField, Mismatch } from "./core/pci/match.ts";
export type { VirtioIdentity } from "./core/pci/virtio_identity.ts";
export type { Registers } from "./core/pci/registers.ts";
export type { DmaRun } from "./core/dma/address_table.ts";
export type {
  DmaMemory,
  Doorbell,
  MappedDoorbell,
  OpenFunction,
  PciFunction,
  WrittenDoorbell,
} from "./core/pci/function.ts";
export type { Choice, Tried } from "./core/plugin/choose.ts";
export type { FeatureRule } from "./core/virtio/features.ts";
export type { FeatureReport } from "./core/virtio/negotiate.ts";
export type { QueueReport } from "./core/bus/message.ts";
export type { QueueCounters, QueueFault } from "./core/virtqueue/virtqueue.ts";
