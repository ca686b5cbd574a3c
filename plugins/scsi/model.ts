/**
 * The SCSI host device as a model (virtio 1.4, 5.6): an adapter with disks in memory.
 *
 * @module
 */
import {
  type DeviceHandle,
  type DeviceModel,
  DriverFault,
  type Request,
} from "@virtio/deno/simulation";
import { addressOf, readLun, writeLun } from "./lun.ts";
import { CHECK_CONDITION, fixedSense, GOOD, Op, Sense } from "./model/commands.ts";
import {
  reportLuns,
  type UnitAnswer,
  type UnitCommand,
  UnitModel,
  type UnitOptions,
} from "./model/unit.ts";
import * as wire from "./wire.ts";

export { UnitModel };
export type { SenseCode } from "./model/commands.ts";
export type { UnitAnswer, UnitCommand, UnitOptions };

/** A response as the device writes it. */
export interface RawResponse {
  /** Bytes of sense data that follow. */
  readonly senseLength: number;
  /** Bytes of data that were not moved. */
  readonly residual: number;
  /** The status of the unit, as SAM-6 numbers it. */
  readonly status: number;
  /** What the adapter made of the request (virtio 1.4, 5.6.6.1). */
  readonly response: number;
}

/** What a SCSI adapter is like. */
export interface ScsiOptions {
  /** Its logical units. */
  readonly units: readonly UnitOptions[];
  /** Number of request queues; 1 if absent. */
  readonly requestQueues?: number;
  /** Entries of each queue; 128 if absent. */
  readonly queueSize?: number;
  /** The greatest target that it says it has; 7 if absent. */
  readonly maxTarget?: number;
  /** Features that it does not have. */
  readonly lacks?: bigint;
  /** For tests: which commands it leaves unanswered until a task management function ends them. */
  readonly hold?: (cdb: Uint8Array) => boolean;
  /** For tests: what is wrong in the response to a command; undefined to answer it well. */
  readonly spoil?: (cdb: Uint8Array) => Partial<RawResponse> | undefined;
  /** For tests: the response to a task management function; −1 for none at all, undefined to carry it out. */
  readonly manage?: (subtype: number) => number | undefined;
  /** For tests: the LUNs that REPORT LUNS lists instead of those that there are. */
  readonly luns?: readonly number[];
  /** For tests: fields of its configuration, by their offset, that are not what they should be. */
  readonly config?: Readonly<Record<number, number>>;
}

/** A command that is not answered yet. */
interface Held {
  readonly address: number;
  readonly tag: bigint;
  readonly answer: (response: number) => void;
}

/** Notifications of MMC that its CD-ROMs have. */
const NOTIFICATIONS = wire.EVT_ASYNC_OPERATIONAL_CHANGE | wire.EVT_ASYNC_MEDIA_CHANGE;
const NOTHING = new Uint8Array();

/** A SCSI adapter with logical units in memory. */
export class ScsiModel implements DeviceModel {
  readonly id: number = wire.DEVICE_ID;
  readonly classCode = 0x010000;
  readonly features: bigint;
  readonly queues: readonly number[];
  /** Its configuration structure. */
  readonly config: Uint8Array<ArrayBuffer> = new Uint8Array(wire.CONFIG_BYTES);
  /** Its units as they are now, by address. */
  readonly units: Map<number, UnitModel> = new Map();
  /** The task attributes of all commands so far. */
  readonly attributes: number[] = [];
  /** The task management functions so far. */
  readonly managed: number[] = [];

  readonly #options: ScsiOptions;
  readonly #view = new DataView(this.config.buffer);
  #held: Held[] = [];
  #eventBuffers: Request[] = [];
  #missed = false;
  readonly #subscribed = new Map<number, number>();
  #device: DeviceHandle | undefined;

  /** Makes an adapter with all its units. */
  constructor(options: ScsiOptions) {
    this.#options = options;
    const { units, requestQueues = 1, queueSize = 128, lacks = 0n } = options;
    this.features = (wire.F_INOUT | wire.F_HOTPLUG | wire.F_CHANGE | wire.F_T10_PI) & ~lacks;
    this.queues = Array.from({ length: wire.REQUEST_QUEUE + requestQueues }, () => queueSize);
    for (const unit of units) this.#put(new UnitModel(unit));
    this.reset();
  }

  /** Called by the machine. */
  attach(device: DeviceHandle): void {
    this.#device = device;
  }

  /** Called by the machine: the configuration is as at first, nothing is under way any more. */
  reset(): void {
    const { requestQueues = 1, queueSize = 128, maxTarget = 7, config = {} } = this.#options;
    const view = this.#view;
    view.setUint32(wire.CONFIG_NUM_QUEUES, requestQueues, true);
    view.setUint32(wire.CONFIG_SEG_MAX, queueSize - 2, true);
    view.setUint32(wire.CONFIG_MAX_SECTORS, 0xffff, true);
    view.setUint32(wire.CONFIG_CMD_PER_LUN, 128, true);
    view.setUint32(wire.CONFIG_EVENT_INFO_SIZE, wire.EVENT_BYTES, true);
    view.setUint32(wire.CONFIG_SENSE_SIZE, wire.SENSE_SIZE, true);
    view.setUint32(wire.CONFIG_CDB_SIZE, wire.CDB_SIZE, true);
    view.setUint16(wire.CONFIG_MAX_TARGET, maxTarget, true);
    view.setUint32(wire.CONFIG_MAX_LUN, 16383, true);
    for (const [offset, value] of Object.entries(config)) {
      if (Number(offset) === wire.CONFIG_MAX_TARGET) view.setUint16(Number(offset), value, true);
      else view.setUint32(Number(offset), value, true);
    }
    this.#held = [];
    this.#eventBuffers = [];
    this.#missed = false;
    this.#subscribed.clear();
  }

  /** Called by the machine: what the queue had is forgotten. */
  queueReset(queue: number): void {
    if (queue === wire.EVENT_QUEUE) this.#eventBuffers = [];
    else if (queue >= wire.REQUEST_QUEUE) this.#held = [];
  }

  /** Called by the machine when the driver writes into the configuration. */
  configWrite(offset: number, value: number, width: 1 | 2 | 4): void {
    const writable = offset === wire.CONFIG_SENSE_SIZE || offset === wire.CONFIG_CDB_SIZE;
    if (writable && width === 4) this.#view.setUint32(offset, value, true);
  }

  /** Answers a request. */
  handle(queue: number, request: Request): number | undefined {
    if (queue === wire.CONTROL_QUEUE) return this.#control(request);
    if (queue === wire.EVENT_QUEUE) return this.#takeEventBuffer(request);
    return this.#command(request);
  }

  /** Puts a unit on the bus, and tells of it. */
  add(options: UnitOptions): UnitModel {
    const unit = new UnitModel(options);
    const address = this.#put(unit);
    if (this.#agreed(wire.F_HOTPLUG)) {
      this.event(wire.T_TRANSPORT_RESET, address, wire.EVT_RESET_RESCAN);
    }
    return unit;
  }

  /** Takes a unit from the bus, and tells of it. */
  remove(target: number, lun: number): void {
    const address = addressOf(target, lun);
    this.units.delete(address);
    this.#end((held) => held.address === address, wire.S_BAD_TARGET);
    if (this.#agreed(wire.F_HOTPLUG)) {
      this.event(wire.T_TRANSPORT_RESET, address, wire.EVT_RESET_REMOVED);
    }
  }

  /** Changes a unit's capacity, and tells of it. */
  resize(target: number, lun: number, capacity: number): void {
    const address = addressOf(target, lun);
    const unit = this.units.get(address)!;
    unit.resize(capacity);
    unit.attentions.push(Sense.capacityChanged);
    const [, asc, ascq] = Sense.capacityChanged;
    if (this.#agreed(wire.F_CHANGE)) this.event(wire.T_PARAM_CHANGE, address, asc | ascq << 8);
  }

  /** Takes the medium of a CD-ROM out or puts one in, and notifies the driver if it subscribed to that. */
  load(target: number, lun: number, loaded: boolean): void {
    const address = addressOf(target, lun);
    this.units.get(address)!.load(loaded);
    const wanted = this.#subscribed.get(address) ?? 0;
    const notification = wanted & wire.EVT_ASYNC_MEDIA_CHANGE;
    if (notification) this.event(wire.T_ASYNC_NOTIFY, address, notification);
  }

  /** Sends an event, if the driver has left a buffer for it; else it is missed. For tests: any event. */
  event(event: number, address: number, reason: number): void {
    const request = this.#eventBuffers.shift();
    if (!request) {
      this.#missed = true;
      return;
    }
    const bytes = new Uint8Array(wire.EVENT_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint32(
      wire.EVENT_EVENT,
      (event | (this.#missed ? wire.T_EVENTS_MISSED : 0)) >>> 0,
      true,
    );
    if (address >= 0) writeLun(bytes, wire.EVENT_LUN, address);
    view.setUint32(wire.EVENT_REASON, reason, true);
    this.#missed = false;
    request.write(bytes);
    request.complete(request.written);
  }

  #put(unit: UnitModel): number {
    const address = addressOf(unit.target, unit.lun);
    this.units.set(address, unit);
    return address;
  }

  #agreed(feature: bigint): boolean {
    return ((this.#device?.features ?? 0n) & feature) !== 0n;
  }

  #takeEventBuffer(request: Request): undefined {
    if (request.writable < wire.EVENT_BYTES) {
      throw new DriverFault(`An event buffer has ${request.writable} bytes`);
    }
    this.#eventBuffers.push(request);
    if (this.#missed) this.event(wire.T_NO_EVENT, -1, 0);
  }

  #command(request: Request): number | undefined {
    const cdbSize = this.#view.getUint32(wire.CONFIG_CDB_SIZE, true);
    const senseSize = this.#view.getUint32(wire.CONFIG_SENSE_SIZE, true);
    const protection = this.#agreed(wire.F_T10_PI);
    const header = new Uint8Array(
      wire.HEADER_CDB + cdbSize + (protection ? wire.HEADER_PI_BYTES : 0),
    );
    const responseBytes = wire.RESPONSE_SENSE + senseSize;
    if (request.read(header) < header.length || request.writable < responseBytes) {
      throw new DriverFault("A SCSI request has no room for its header or its response");
    }
    const view = new DataView(header.buffer);
    const cdb = header.subarray(wire.HEADER_CDB, wire.HEADER_CDB + cdbSize);
    const checks = wire.HEADER_CDB + cdbSize;
    const outProtection = new Uint8Array(protection ? view.getUint32(checks, true) : 0);
    const inProtection = protection ? view.getUint32(checks + 4, true) : 0;
    request.read(outProtection);
    const out = new Uint8Array(request.readable);
    request.read(out);
    const inBytes = request.writable - responseBytes - inProtection;
    if (inBytes < 0) throw new DriverFault("A SCSI request has no room for what it asks for");
    this.attributes.push(header[wire.HEADER_TASK_ATTR]!);

    const answer = (given: UnitAnswer, response: number): number => {
      const data = given.data ?? NOTHING;
      const left = out.length + inBytes - (given.used ?? out.length) - data.length;
      const raw: RawResponse = {
        senseLength: Math.min(given.sense?.length ?? 0, senseSize),
        residual: left,
        status: given.status,
        response: given.overrun ? wire.S_OVERRUN : response,
        ...this.#options.spoil?.(cdb),
      };
      request.write(responseOf(raw, given.sense ?? NOTHING, senseSize));
      const checksIn = new Uint8Array(inProtection);
      if (given.protection) checksIn.set(given.protection.subarray(0, inProtection));
      request.write(checksIn);
      request.write(data.subarray(0, request.writable));
      return request.written;
    };

    const address = readLun(header, wire.HEADER_LUN);
    if (this.#options.hold?.(cdb)) {
      this.#held.push({
        address,
        tag: view.getBigUint64(wire.HEADER_ID, true),
        answer: (response) => request.complete(answer({ status: GOOD, used: 0 }, response)),
      });
      return undefined;
    }
    if (inBytes > 0 && out.length > 0 && !this.#agreed(wire.F_INOUT)) {
      return answer({ status: GOOD, used: 0 }, wire.S_FAILURE);
    }
    const command: UnitCommand = { cdb, out, outProtection, inBytes, inProtection };
    const served = this.#serve(address, command);
    return answer(served, served === NO_TARGET ? wire.S_BAD_TARGET : wire.S_OK);
  }

  #serve(address: number, command: UnitCommand): UnitAnswer {
    const target = address & 0xff;
    const luns = this.#options.luns ??
      [...this.units.values()].filter((unit) => unit.target === target).map(({ lun }) => lun);
    const unit = this.units.get(address);
    if (unit) return unit.serve(command, luns);
    if (address < 0 || luns.length === 0) return NO_TARGET;
    // The target answers for units that it does not have (SPC-4, 6.4.2 and 6.33).
    const op = command.cdb[0];
    if (op === Op.REPORT_LUNS) {
      return { status: GOOD, data: reportLuns(luns).subarray(0, command.inBytes) };
    }
    if (op === Op.INQUIRY) {
      return { status: GOOD, data: Uint8Array.of(0x7f, 0, 6, 2, 0).subarray(0, command.inBytes) };
    }
    return { status: CHECK_CONDITION, sense: fixedSense(Sense.noSuchUnit) };
  }

  #control(request: Request): number | undefined {
    const bytes = new Uint8Array(wire.TMF_BYTES);
    const length = request.read(bytes);
    const view = new DataView(bytes.buffer);
    const type = view.getUint32(wire.CONTROL_TYPE, true);
    if (type === wire.T_TMF && length === wire.TMF_BYTES && request.writable >= 1) {
      const subtype = view.getUint32(wire.TMF_SUBTYPE, true);
      this.managed.push(subtype);
      const given = this.#options.manage?.(subtype);
      if (given === -1) return undefined;
      const address = readLun(bytes, wire.TMF_LUN);
      const tag = view.getBigUint64(wire.TMF_ID, true);
      request.write(Uint8Array.of(given ?? this.#manage(subtype, address, tag)));
      return request.written;
    }
    const known = type === wire.T_AN_QUERY || type === wire.T_AN_SUBSCRIBE;
    if (known && length === wire.AN_BYTES && request.writable >= wire.AN_ANSWER_BYTES) {
      return this.#notifications(type, view, bytes, request);
    }
    throw new DriverFault(`A control request of type ${type} has ${length} bytes`);
  }

  #manage(subtype: number, address: number, tag: bigint): number {
    if (address < 0) return wire.S_BAD_TARGET;
    const target = address & 0xff;
    const onTarget = [...this.units.values()].some((unit) => unit.target === target);
    if (!onTarget) return wire.S_BAD_TARGET;
    const unit = this.units.get(address);
    if (!unit && subtype !== wire.T_TMF_I_T_NEXUS_RESET) return wire.S_INCORRECT_LUN;
    const ofUnit = (held: Held) => held.address === address;
    const ofTask = (held: Held) => ofUnit(held) && held.tag === tag;
    switch (subtype) {
      case wire.T_TMF_ABORT_TASK:
        return this.#end(ofTask, wire.S_ABORTED);
      case wire.T_TMF_ABORT_TASK_SET:
      case wire.T_TMF_CLEAR_TASK_SET:
        return this.#end(ofUnit, wire.S_ABORTED);
      case wire.T_TMF_CLEAR_ACA:
        return wire.S_OK;
      case wire.T_TMF_LOGICAL_UNIT_RESET:
        unit!.attentions.push(Sense.resetOccurred);
        return this.#end(ofUnit, wire.S_RESET);
      case wire.T_TMF_I_T_NEXUS_RESET:
        for (const each of this.units.values()) {
          if (each.target === target) each.attentions.push(Sense.resetOccurred);
        }
        return this.#end((held) => (held.address & 0xff) === target, wire.S_RESET);
      case wire.T_TMF_QUERY_TASK:
        return this.#held.some(ofTask) ? wire.S_FUNCTION_SUCCEEDED : wire.S_OK;
      case wire.T_TMF_QUERY_TASK_SET:
        return this.#held.some(ofUnit) ? wire.S_FUNCTION_SUCCEEDED : wire.S_OK;
      default:
        return wire.S_FUNCTION_REJECTED;
    }
  }

  /** Ends held commands. */
  #end(which: (held: Held) => boolean, response: number): number {
    const ended = this.#held.filter(which);
    this.#held = this.#held.filter((held) => !which(held));
    for (const { answer } of ended) answer(response);
    return wire.S_OK;
  }

  #notifications(type: number, view: DataView, bytes: Uint8Array, request: Request): number {
    const address = readLun(bytes, wire.AN_LUN);
    const wanted = view.getUint32(wire.AN_EVENT_REQUESTED, true);
    const there = this.units.has(address);
    const actual = there ? wanted & NOTIFICATIONS : 0;
    if (there && type === wire.T_AN_SUBSCRIBE) this.#subscribed.set(address, actual);
    const answer = new Uint8Array(wire.AN_ANSWER_BYTES);
    new DataView(answer.buffer).setUint32(wire.AN_EVENT_ACTUAL, actual, true);
    answer[wire.AN_RESPONSE] = there ? wire.S_OK : wire.S_INCORRECT_LUN;
    request.write(answer);
    return request.written;
  }
}

const NO_TARGET: UnitAnswer = { status: GOOD, used: 0 };

function responseOf(raw: RawResponse, sense: Uint8Array, senseSize: number): Uint8Array {
  const bytes = new Uint8Array(wire.RESPONSE_SENSE + senseSize);
  const view = new DataView(bytes.buffer);
  view.setUint32(wire.RESPONSE_SENSE_LEN, raw.senseLength, true);
  view.setUint32(wire.RESPONSE_RESIDUAL, raw.residual, true);
  bytes[wire.RESPONSE_STATUS] = raw.status;
  bytes[wire.RESPONSE_RESPONSE] = raw.response;
  bytes.set(sense.subarray(0, senseSize), wire.RESPONSE_SENSE);
  return bytes;
}

/** A host with a disk, as tests take it. */
export default (): DeviceModel => new ScsiModel({ units: [{ capacity: 2 ** 20 }] });
