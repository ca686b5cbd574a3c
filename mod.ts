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
import type { PluginSource } from "./core/kernel/plugin_source.ts";
import { refuseDebugger } from "./core/kernel/refuse_debugger.ts";
import { monotonicClock } from "./core/linux/clock.ts";
import { Trace, type TraceSink } from "./core/trace/trace.ts";
import { serveControl } from "./watch/control.ts";
import { publishMetrics } from "./watch/publish_metrics.ts";
import { snapshot } from "./watch/snapshot.ts";
import { traceFile } from "./watch/trace/mod.ts";
import { InterruptLoop } from "./core/irq/interrupt_loop.ts";
import type { Machine, Platform } from "./core/platform/platform.ts";
import { openQemu, type QemuParts } from "./core/platform/qemu/mod.ts";
import { openSimulated } from "./simulation/platform/simulated.ts";
import { openVhostUser } from "./simulation/vhost_user/platform.ts";
import type { FunctionModel } from "./simulation/function_model.ts";
import { openLocal } from "./core/platform/vfio/local.ts";
import type { DeviceModel } from "./simulation/model.ts";
import { CLASSES, type StandardClasses } from "./classes.ts";
import type { DeviceClass } from "./core/class/define.ts";
import type { Classes } from "./core/kernel/device.ts";
import { BACK_END_KINDS, backEndFacts, type VhostUserDevice } from "./back_ends.ts";
import { DRIVERS, simulatedDevices } from "./drivers.ts";

/** A QEMU of our own: its board, memory and devices. */
export interface QemuOptions {
  /** The board: PCI Express (`"q35"`, the default) or conventional PCI (`"pc"`). */
  readonly machine?: "q35" | "pc";
  /** RAM in MiB, 16 to 2047; 256 if not given. All DMA memory comes from it. */
  readonly memory?: number;
  /** Devices and what is behind them: arguments that QEMU gets as they are. */
  readonly arguments: readonly string[];
  /** The program; `qemu-system-x86_64` if not given. */
  readonly program?: string;
  /** More disks, each of so many bytes, that live in memory: zero at first, and gone with the machine. */
  readonly disks?: readonly number[];
  /** Likewise, behind a SCSI adapter. */
  readonly units?: readonly number[];
}

/** Which machine to open, and what is in it. */
export interface MachineOptions {
  /** The machine that this program runs on, a QEMU of its own, or one made of device models or of other programs. */
  readonly machine?: Machine["kind"];
  /** For `"qemu"`: its board, memory and devices. */
  readonly qemu?: QemuOptions;
  /** For `"simulated"`: its devices, of VirtIO or not; an entropy source and a disk if left out. */
  readonly devices?: readonly (DeviceModel | FunctionModel)[];
  /** For `"vhost-user"`: its devices, which other programs serve. */
  readonly vhostUser?: readonly VhostUserDevice[];
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
  /**
   * Where to tell all that happens: the name of a file, which ends in `.txt`, `.json` (for Perfetto and Chrome) or `.html`
   * (a page of its own), or what takes the events. Nothing is told, and that costs nothing, if left out.
   */
  readonly trace?: string | TraceSink;
  /** The path of a Unix socket at which other programs of this user may look at the machine, as the command `top` does. */
  readonly control?: string;
  /**
   * Where to tell figures in Prometheus' text format: a path that ends in `.sock` becomes a Unix socket of this user that
   * answers HTTP, any other a file that is written again every 5 s.
   */
  readonly metrics?: string;
}

/**
 * Opens a machine.
 *
 * @param loop What waits for the doorbells of a simulated machine, and for interrupt pins.
 */
function openMachine(
  { machine = "local", qemu = { arguments: [] }, devices, vhostUser = [], unsafeDma = false }:
    MachineOptions,
  loop: InterruptLoop,
): Promise<Platform> {
  switch (machine) {
    case "local":
      return Promise.resolve(openLocal({ loop, unsafeDma }));
    case "qemu":
      return openQemu(qemuParts(qemu), loop);
    case "simulated":
      return Promise.resolve(openSimulated({ devices: devices ?? simulatedDevices(), loop }));
    case "vhost-user":
      // They are spoken to from the first moment on.
      loop.start();
      return openVhostUser(vhostUser.map(backEndFacts), loop);
  }
}

/** On bus 0, whichever other buses there are. */
function qemuParts({ disks = [], units = [], ...options }: QemuOptions): QemuParts {
  const bus = options.machine === "pc" ? "pci.0" : "pcie.0";
  const adapter = ["-device", `virtio-scsi-pci,id=virtio-scsi,bus=${bus}`];
  return {
    ...options,
    arguments: [...options.arguments, ...(units.length > 0 ? adapter : [])],
    drives: [
      ...disks.map((bytes) => ({ bytes, device: `virtio-blk-pci,bus=${bus}` })),
      ...units.map((bytes) => ({ bytes, device: "scsi-hd,bus=virtio-scsi.0" })),
    ],
  };
}

const MACHINES = ["local", "qemu", "simulated", "vhost-user"] as const;

/** Checks what an application asks {@linkcode openKernel} for. Returns a copy. */
function checkOptions(given: OpenOptions): OpenOptions {
  const where = "openKernel";
  const options = { ...argument.record(given, where, "options") };
  const { machine = "local", qemu, devices, vhostUser, unsafeDma = false } = options;
  const { plugins = [], drivers = [], classes = {}, trace, control, metrics } = options;
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
  for (const [name, path] of Object.entries({ control, metrics })) {
    if (path !== undefined) text(path, `options.${name}`);
  }
  if (devices !== undefined) each("options.devices", devices, object);
  if (trace !== undefined && typeof trace !== "string") {
    argument.callback(
      (object(trace, "options.trace") as TraceSink).event,
      where,
      "options.trace.event",
    );
  }
  if (vhostUser !== undefined) {
    each("options.vhostUser", vhostUser, (device: VhostUserDevice, name) => {
      const { kind, socket, mac, pairs = 1, listen = false, queueSize = 128 } = object(
        device,
        name,
      ) as VhostUserDevice;
      argument.word(kind, where, `${name}.kind`, BACK_END_KINDS);
      text(socket, `${name}.socket`);
      if (mac !== undefined) text(mac, `${name}.mac`);
      argument.flag(listen, where, `${name}.listen`);
      bytes(pairs, `${name}.pairs`);
      bytes(queueSize, `${name}.queueSize`);
    });
  }
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
 * The drivers that {@linkcode openKernel} finds, in order of preference; none of their code runs.
 *
 * @param plugins Folders of drivers, each with a `plugin.json`; those that come with the kernel follow.
 * @throws ManifestError If a `plugin.json` is wrong.
 */
export function findDrivers(plugins: readonly string[] = []): readonly PluginSource[] {
  return [...plugins.map(loadPlugin), ...DRIVERS];
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
  const { plugins = [], drivers = [], classes, trace: told, control, metrics, ...rest } =
    checkOptions(options);
  const opened = performance.now();
  const all = [...drivers, ...findDrivers(plugins)];
  await using stack = new AsyncDisposableStack();
  const sink = typeof told === "string" ? traceFile(told) : told;
  const trace = sink && stack.use(new Trace(sink, monotonicClock()));
  stack.use(refuseDebugger());
  const loop = stack.use(new InterruptLoop());
  const platform = stack.use(await openMachine(rest, loop));
  const look = () => snapshot(kernel, opened);
  if (control !== undefined) stack.use(serveControl(control, loop, look));
  const failed = rest.notice ?? rest.log ?? (() => {});
  const publisher = metrics === undefined
    ? undefined
    : stack.use(publishMetrics(metrics, { loop, look, failed }));
  const kernel: Kernel<More> = new KernelOf(
    {
      loop,
      platform,
      drivers: all,
      classes: { ...CLASSES, ...classes } as StandardClasses & More,
      trace,
      counted: control !== undefined || metrics !== undefined,
      ...(publisher && { leaving: () => publisher.refresh() }),
      close: () => kept.disposeAsync(),
    },
    rest,
  );
  const kept = stack.move();
  return kernel;
}

export type { DriveOptions, KernelOf, PluginSource };
export { checkManifest } from "./core/plugin/check_manifest.ts";
export { ManifestError } from "./core/plugin/manifest.ts";
export { TunableError } from "./core/plugin/tunables.ts";
export { traceFile, type TraceFileOptions } from "./watch/trace/mod.ts";
export type { TraceSink } from "./core/trace/trace.ts";
export type { Actor, Told, TracedDescriptor, TraceEvent } from "./core/trace/event.ts";
export { Status } from "./core/bus/lane.ts";
export { RequestError } from "./core/bus/request_error.ts";
export { DriverGone } from "./core/kernel/conversation.ts";
export { PlanError } from "./core/binding/plan.ts";
export { QemuGone } from "./core/platform/qemu/mod.ts";
export { NoSuchFunction } from "./core/platform/no_such_function.ts";
export { Refusal } from "./core/platform/refusal.ts";
export { bit, Feature } from "./core/virtio/features.ts";
export { DeviceFault } from "./core/pci/device_fault.ts";
export type { BackEndKind, VhostUserDevice } from "./back_ends.ts";
export { CLASSES } from "./classes.ts";
export type { AnyDevice, ClassName, Clients, Device, StandardClasses } from "./classes.ts";
export type {
  AnyDeviceOf,
  AttachedDevice,
  Classes,
  DeviceDescription,
  DeviceOf,
  HostDescription,
  LaneDescription,
  QueueDescription,
} from "./core/kernel/device.ts";
export type { Isolation } from "./core/kernel/driver_host.ts";
export type { BindingDescription } from "./core/binding/binding.ts";
export type { AnyPlugin } from "./core/plugin/pci_plugin.ts";
export type { AnyKernel, Node } from "./core/kernel/kernel.ts";
export type {
  ConfigField,
  Limits,
  Manifest,
  PciNeeds,
  RegisterNeed,
} from "./core/plugin/manifest.ts";
export type { Tunable, Tunables, TunableValue } from "./core/plugin/tunables.ts";
export type { Machine } from "./core/platform/platform.ts";
export type { Exit } from "./core/linux/process.ts";
export type { PciIdentity } from "./core/pci/identity.ts";
export type { Match, MatchField, Mismatch } from "./core/pci/match.ts";
export type { VirtioIdentity } from "./core/pci/virtio_identity.ts";
export type { Registers } from "./core/pci/registers.ts";
export type { FunctionFacts } from "./core/pci/function.ts";
export type { Choice, Tried } from "./core/plugin/choose.ts";
export type { FeatureRule } from "./core/virtio/features.ts";
export type { FeatureReport } from "./core/virtio/negotiate.ts";
export type { InterruptKind } from "./core/binding/interrupt_kind.ts";
export type { QueueReport } from "./core/bus/message.ts";
export type { QueueCounters, QueueFault } from "./core/virtqueue/virtqueue.ts";
