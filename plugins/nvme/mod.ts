/**
 * Driver for NVM Express controllers (base specification 2.0, NVM command set 1.0): one namespace as a disk.
 *
 * @module
 */

import { type DefinedPciPlugin, definePciPlugin, Status } from "@virtio/deno/plugin";
import { BlockOperation, BlockWord, UNMAP } from "@virtio/deno/classes/block";
import { ADMIN_ENTRIES, capabilities, Controller, putAddress } from "./controller.ts";
import { Doorbells } from "./doorbells.ts";
import { identify, properties } from "./identify.ts";
import { createIoQueues } from "./io_queues.ts";
import { SlotPages } from "./pages.ts";
import { Statistics } from "./statistics.ts";
import * as wire from "./wire.ts";

const SLOTS = 128;
const SLOT_BYTES = 65536;
const SECTOR_BYTES = 512;
const QUEUE_ENTRIES = 256;
const CONTROL_SLOTS = 4;
const CONTROL_DEADLINE_MS = 5000;

/** How often a controller that does not finish its commands is looked at. */
const LOOK_MS = 250;

const OPCODES: Readonly<Record<number, number>> = {
  [BlockOperation.read]: wire.READ,
  [BlockOperation.write]: wire.WRITE,
  [BlockOperation.flush]: wire.FLUSH,
  [BlockOperation.discard]: wire.DATASET_MANAGEMENT,
  [BlockOperation.writeZeroes]: wire.WRITE_ZEROES,
};

/** The driver. */
const nvme: DefinedPciPlugin = definePciPlugin({
  plan({ tunables }) {
    const queues = Number(tunables.num_io_queues);
    return {
      lanes: {
        requests: { slots: SLOTS, slotBytes: SLOT_BYTES },
        control: { slots: CONTROL_SLOTS, slotBytes: 8, deadline: CONTROL_DEADLINE_MS },
      },
      buffers: {
        asq: ADMIN_ENTRIES * wire.SQE_BYTES,
        acq: ADMIN_ENTRIES * wire.CQE_BYTES,
        identify: wire.IDENTIFY_BYTES,
        shadow: wire.PAGE_BYTES,
        events: wire.PAGE_BYTES,
        submission: queues * QUEUE_ENTRIES * wire.SQE_BYTES,
        completion: queues * QUEUE_ENTRIES * wire.CQE_BYTES,
        lists: SlotPages.listBytes(SLOTS, SLOT_BYTES),
        ranges: SLOTS * wire.RANGE_BYTES,
      },
    };
  },

  start({ registers, lanes, buffers, vectors, address, tunables, setProperties }) {
    const { requests: lane, control } = lanes;
    const window = registers.controller!;
    const able = capabilities(window);
    const { shadow, events } = buffers;
    const doorbells = new Doorbells(registers.doorbells!, able.stride, shadow, events);
    // Commands are known by their slots: those of admin commands come first, then the aborts of the others.
    const identifiers = CONTROL_SLOTS + SLOTS;
    const controller = new Controller(window, doorbells, able, buffers, { identifiers, address });
    const { admin } = controller;
    const identity = identify(controller, Number(tunables.namespace));
    const { nsid, blockBytes, sectors, readOnly } = identity;
    // A controller that interrupts by the pin lowers it only when it is told what was taken.
    if (identity.shadowDoorbells && tunables.shadow_doorbells === true && vectors !== 1) {
      configureShadow();
    }
    const all = createIoQueues(controller, {
      wanted: Number(tunables.num_io_queues),
      entries: Math.min(QUEUE_ENTRIES, able.entries),
      identifiers: SLOTS,
      vectors,
      submission: buffers.submission,
      completion: buffers.completion,
      doorbells,
      address,
    });
    const pages = new SlotPages(lane, buffers.lists, address);
    const range = new Uint32Array(shadow.bytes.buffer, buffers.ranges.offset, SLOTS * 4);
    const serial = Uint8Array.from(identity.serial, (byte) => byte);
    const mostBytes = Math.min(SLOT_BYTES, identity.mostBytes);
    const perBlock = blockBytes / SECTOR_BYTES;
    const statistics = new Statistics();
    let writeCache = identity.writeCache && (readCache() & 1) === 1;
    setProperties(properties(identity, writeCache));

    /** Of each slot: bytes to move, bytes moved so far, when its command was begun, and whether it was aborted. */
    const lengths = new Uint32Array(SLOTS);
    const moved = new Uint32Array(SLOTS);
    const begun = new Uint32Array(SLOTS);
    const aborted = new Uint8Array(SLOTS);
    const late = Math.ceil(Number(tunables.abort_after) / LOOK_MS);
    let looks = 0;
    let lookedAt = 0;
    let aborting = 0;

    function configureShadow(): void {
      const { status } = controller.try({
        opcode: wire.DOORBELL_BUFFER_CONFIG,
        prp1: address(shadow.offset),
        prp2: address(events.offset),
        what: "configure the shadow doorbells",
      });
      if (status === wire.STATUS_SUCCESS) doorbells.useShadow();
    }

    function readCache(): number {
      const what = "tell of its write cache";
      return controller.do({
        opcode: wire.GET_FEATURES,
        cdw10: wire.FEATURE_WRITE_CACHE,
        what,
      });
    }

    function provide(slot: number): boolean {
      const operation = lane.word(slot, BlockWord.operation);
      const opcode = OPCODES[operation];
      if (operation === BlockOperation.identify) return tellIdentity(slot);
      // Without a write cache there is nothing to flush.
      if (operation === BlockOperation.flush && !identity.writeCache) return end(slot, Status.ok);
      if (opcode === undefined) return end(slot, Status.unsupported);
      if (!fits(slot, operation)) return end(slot, Status.refused);
      if (!queueOf(slot).room) return false;
      moved[slot] = 0;
      aborted[slot] = 0;
      submit(slot, opcode);
      return true;
    }

    function queueOf(slot: number) {
      return all[slot % all.length]!;
    }

    function tellIdentity(slot: number): boolean {
      const end = serial.findLastIndex((byte) => byte !== 0x20) + 1;
      const bytes = new Uint8Array(shadow.bytes.buffer, lane.offset(slot), wire.ID_SN_BYTES);
      bytes.fill(0).set(serial.subarray(0, end));
      lane.complete(slot, Status.ok, wire.ID_SN_BYTES);
      return true;
    }

    /** Whether the namespace takes it: it may have changed since the client asked. */
    function fits(slot: number, operation: number): boolean {
      lengths[slot] = 0;
      if (operation === BlockOperation.flush) return true;
      if (readOnly && operation !== BlockOperation.read) return false;
      let count = lane.word(slot, BlockWord.sectors);
      if (operation === BlockOperation.discard) {
        if (count > identity.discardSectors) return false;
      } else if (operation === BlockOperation.writeZeroes) {
        if (count > identity.zeroesSectors) return false;
      } else {
        const length = lengths[slot] = lane.word(slot, BlockWord.length);
        if (length > SLOT_BYTES) return false;
        count = length / SECTOR_BYTES;
      }
      const first = sectorOf(slot);
      return count > 0 && count % perBlock === 0 && first % perBlock === 0 &&
        first + count <= sectors;
    }

    function sectorOf(slot: number): number {
      return lane.word(slot, BlockWord.sectorHigh) * 2 ** 32 +
        lane.word(slot, BlockWord.sectorLow);
    }

    /** Begins the command of a slot, or of the next part of one that has more than the controller takes at a time. */
    function submit(slot: number, opcode: number): void {
      const queue = queueOf(slot);
      const { sq } = queue;
      const at = queue.begin(slot, opcode, nsid);
      begun[slot] = looks;
      if (opcode === wire.FLUSH) return;
      const from = moved[slot]!;
      const block = (sectorOf(slot) + from / SECTOR_BYTES) / perBlock;
      const blocks = lane.word(slot, BlockWord.sectors) / perBlock;
      if (opcode === wire.DATASET_MANAGEMENT) {
        range[4 * slot + 1] = blocks;
        putAddress(range, 4 * slot + 2, block);
        putAddress(sq, at + wire.PRP1, address(buffers.ranges.offset + slot * wire.RANGE_BYTES));
        sq[at + wire.CDW11] = wire.DEALLOCATE;
        return;
      }
      putAddress(sq, at + wire.CDW10, block);
      if (opcode === wire.WRITE_ZEROES) {
        const unmaps = lane.word(slot, BlockWord.flags) & UNMAP && identity.zeroesUnmap;
        sq[at + wire.CDW12] = blocks - 1 | (unmaps ? wire.CDW12_DEAC : 0);
        return;
      }
      const length = Math.min(lengths[slot]! - from, mostBytes);
      pages.point(sq, at, slot, from, length);
      sq[at + wire.CDW12] = length / blockBytes - 1;
    }

    function collect(slot: number, status: number): void {
      const opcode = OPCODES[lane.word(slot, BlockWord.operation)]!;
      if (status === wire.STATUS_ABORT_REQUESTED && aborted[slot]! < 2) {
        // Once more: that it took too long may have been an accident, and the core waits no longer than it said.
        aborted[slot] = 2;
        return submit(slot, opcode);
      }
      const length = lengths[slot]!;
      if (status === wire.STATUS_SUCCESS && length > 0) {
        moved[slot] = Math.min(moved[slot]! + mostBytes, length);
        if (moved[slot]! < length) return submit(slot, opcode);
      }
      end(slot, outcome(status), length);
    }

    function end(slot: number, status: number, length = 0): true {
      const operation = lane.word(slot, BlockWord.operation);
      const count = length > 0 ? length / SECTOR_BYTES : lane.word(slot, BlockWord.sectors);
      statistics.count(operation, status, count);
      lane.setWord(slot, BlockWord.answer, 0);
      lane.complete(slot, status, length);
      return true;
    }

    function switchCache(slot: number): boolean {
      const mode = control.word(slot, BlockWord.sectors);
      const operation = control.word(slot, BlockWord.operation);
      if (operation !== BlockOperation.setWriteCache || !identity.writeCache || mode > 1) {
        control.complete(slot, Status.unsupported, 0);
        return true;
      }
      if (!admin.room) return false;
      const at = admin.begin(slot, wire.SET_FEATURES, 0);
      admin.sq[at + wire.CDW10] = wire.FEATURE_WRITE_CACHE;
      admin.sq[at + wire.CDW11] = mode;
      return true;
    }

    function collectAdmin(cid: number, status: number): void {
      if (cid >= CONTROL_SLOTS) {
        aborting--;
        return;
      }
      if (status === wire.STATUS_SUCCESS) {
        writeCache = control.word(cid, BlockWord.sectors) === 1;
        setProperties(properties(identity, writeCache));
      }
      control.complete(cid, outcome(status), 0);
    }

    /** Nothing ends: looks whether the controller is well, and aborts what takes too long. */
    function look(): void {
      const now = performance.now();
      if (now - lookedAt < LOOK_MS) return;
      lookedAt = now;
      looks++;
      controller.check();
      for (let slot = 0; slot < SLOTS && late > 0; slot++) {
        if (queueOf(slot).has(slot) && looks - begun[slot]! > late) abort(slot);
      }
    }

    /** The command may end meanwhile, and its identifier be another's: that is aborted then, and begun once more. */
    function abort(slot: number): void {
      const cid = CONTROL_SLOTS + slot;
      if (aborted[slot] !== 0 || aborting === identity.aborts || admin.has(cid)) return;
      aborted[slot] = 1;
      aborting++;
      statistics.aborts++;
      const at = admin.begin(cid, wire.ABORT, 0);
      admin.sq[at + wire.CDW10] = slot << 16 | queueOf(slot).id;
    }

    return {
      rung() {
        let ended = admin.drain(collectAdmin);
        let inFlight = 0;
        for (let i = 0; i < all.length; i++) ended += all[i]!.drain(collect);
        control.take(switchCache);
        lane.take(provide);
        for (let i = 0; i < all.length; i++) {
          all[i]!.publish();
          inFlight += all[i]!.inFlight;
        }
        if (ended === 0 && inFlight > 0) look();
        admin.publish();
      },
      statistics: () => statistics.read(),
      stop: () => controller.shutDown(),
    };
  },
});

function outcome(status: number): number {
  if (status === wire.STATUS_SUCCESS) return Status.ok;
  return status === wire.STATUS_INVALID_OPCODE ? Status.unsupported : Status.failed;
}

export default nvme;
