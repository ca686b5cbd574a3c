// SCSI hosts (virtio 1.4, 5.6).

import { type Check, must, needs } from "../check.ts";
import type { Rig } from "../rig.ts";

const SCSI = 8;
const CONTROL = 0, EVENTS = 1, REQUESTS = 2;
const HEADER = 51, RESPONSE = 108;
const S_OK = 0, S_BAD_TARGET = 3, S_FUNCTION_REJECTED = 11, S_INCORRECT_LUN = 12;
const GOOD = 0, CHECK_CONDITION = 2;

/** The field that names a unit (5.6.6.1). */
const lun = (target: number, unit = 0) => [1, target, 0x40 | unit >> 8, unit & 0xff];

/** Sends a command to a unit. */
async function command(
  rig: Rig,
  start: readonly number[],
  cdb: readonly number[],
  room = 0,
  attempts = 1,
): Promise<
  { response: number; status: number; senseLength: number; residual: number; data: Uint8Array }
> {
  const ring = rig.startQueue(REQUESTS);
  for (let left = attempts;; left--) {
    const header = new Uint8Array(HEADER);
    header.set(start);
    header.set(cdb, 19);
    const { bytes, written } = await rig.ask(ring, [
      rig.give(header),
      rig.room(RESPONSE),
      ...(room > 0 ? [rig.room(room)] : []),
    ]);
    must(written >= 12, `it says that it wrote ${written} bytes of a response`);
    const view = new DataView(bytes.buffer);
    const [senseLength, residual] = [view.getUint32(0, true), view.getUint32(4, true)];
    const [status, response] = [bytes[10]!, bytes[11]!];
    // Units tell once that they were reset.
    if (status === CHECK_CONDITION && left > 1) continue;
    return { response, status, senseLength, residual, data: bytes.subarray(RESPONSE) };
  }
}

/** A target that is there; undefined if none is. */
async function target(rig: Rig): Promise<number | undefined> {
  const most = Math.min(rig.specific!.read16(30), 8);
  for (let each = 0; each <= most; each++) {
    const { response } = await command(rig, lun(each), [0x12, 0, 0, 0, 36, 0], 36);
    await rig.reset();
    if (response === S_OK) return each;
  }
  return undefined;
}

/** A target; throws that a check is not about this device if it has none. */
async function someTarget(rig: Rig): Promise<number> {
  const found = await target(rig);
  needs(found !== undefined, "it has no target");
  return found;
}

/** Has a task management function done. */
async function manage(rig: Rig, subtype: number, start: readonly number[]): Promise<number> {
  const ring = rig.startQueue(CONTROL);
  const bytes = new Uint8Array(24);
  bytes[4] = subtype;
  bytes.set(start, 8);
  const done = await rig.ask(ring, [rig.give(bytes), rig.room(1)]);
  must(done.written === 1, `it says that it wrote ${done.written} bytes of a response`);
  return done.bytes[0]!;
}

const ALL: readonly Omit<Check, "type">[] = [
  {
    name: "scsi.configuration",
    section: "5.6.4",
    does: "has a configuration that can be true",
    run({ specific, common }) {
      must(specific !== undefined && specific.size >= 36, "it has fewer than 36 bytes");
      const queues = specific.read32(0);
      must(queues >= 1 && queues <= common.read16(0x12) - 2, `it has ${queues} request queues`);
      must(specific.read32(4) >= 1, "it takes no data: seg_max is 0");
      const channel = specific.read16(28);
      must(channel === 0, `max_channel is ${channel}`);
    },
  },
  {
    name: "scsi.sizes",
    section: "5.6.4.2",
    does: "has room for 96 bytes of sense and 32 of a command after a reset",
    async run(rig) {
      const read = () => [rig.specific!.read32(20), rig.specific!.read32(24)].join(" and ");
      must(read() === "96 and 32", `it has room for ${read()}`);
      rig.negotiate();
      rig.specific!.write32(20, 64);
      must(read() === "64 and 32", `it has room for ${read()} where 64 was written`);
      await rig.reset();
      must(read() === "96 and 32", `it has room for ${read()} after a reset`);
    },
  },
  {
    name: "scsi.bad_target",
    section: "5.6.6.1.1",
    does: "answers a command to a target that is not there by BAD_TARGET",
    async run(rig) {
      const { response } = await command(rig, lun(0xfe), [0, 0, 0, 0, 0, 0]);
      must(response === S_BAD_TARGET, `it answers by response ${response}`);
    },
  },
  {
    name: "scsi.bad_lun_field",
    section: "5.6.6.1.1",
    does: "answers a command to an address that no unit can have by an error",
    async run(rig) {
      const { response } = await command(rig, [7, 0, 0, 0], [0, 0, 0, 0, 0, 0]);
      must(response !== S_OK, "it answers by OK");
    },
  },
  {
    name: "scsi.inquiry",
    section: "5.6.6.1.1",
    does: "answers INQUIRY to a target that is there",
    async run(rig) {
      const found = await someTarget(rig);
      const { status, data, residual } = await command(rig, lun(found), [0x12, 0, 0, 0, 36, 0], 36);
      must(status === GOOD, `its status is ${status}`);
      must(residual <= 36, `it did not move ${residual} of 36 bytes`);
      must((data[3]! & 0xf) === 2, "the format of its answer is not 2");
    },
  },
  {
    name: "scsi.unknown_command",
    section: "5.6.6.1.1",
    does: "answers a command that it does not know by CHECK CONDITION, with sense",
    async run(rig) {
      const found = await someTarget(rig);
      // The first may say that the unit was reset.
      const ring = rig.startQueue(REQUESTS);
      let key = 0;
      for (let i = 0; i < 2; i++) {
        const header = new Uint8Array(HEADER);
        header.set(lun(found));
        header[19] = 0xcf;
        const { bytes } = await rig.ask(ring, [rig.give(header), rig.room(RESPONSE)]);
        must(bytes[11] === S_OK, `it answers by response ${bytes[11]}`);
        must(bytes[10] === CHECK_CONDITION, `its status is ${bytes[10]}`);
        const sense = bytes[0]! | bytes[1]! << 8;
        must(sense > 0 && sense <= 96, `it has ${sense} bytes of sense`);
        key = (bytes[12]! & 0x7f) >= 0x72 ? bytes[13]! & 0xf : bytes[14]! & 0xf;
        if (key === 5) break;
      }
      must(key === 5, `its sense key is ${key}, and not ILLEGAL REQUEST`);
    },
  },
  {
    name: "scsi.tmf_unknown",
    section: "5.6.6.2",
    does: "rejects a task management function that it does not know",
    async run(rig) {
      const found = await target(rig);
      const response = await manage(rig, 0x77, lun(found ?? 0));
      const wanted = found === undefined
        ? [S_BAD_TARGET, S_FUNCTION_REJECTED]
        : [S_FUNCTION_REJECTED];
      must(wanted.includes(response), `it answers by response ${response}`);
    },
  },
  {
    name: "scsi.tmf_bad_target",
    section: "5.6.6.2",
    does: "answers a task management function for a target that is not there by BAD_TARGET",
    async run(rig) {
      const response = await manage(rig, 5, lun(0xfe));
      must(response === S_BAD_TARGET, `it answers by response ${response}`);
    },
  },
  {
    name: "scsi.tmf_reset",
    section: "5.6.6.2",
    does: "resets a unit",
    async run(rig) {
      const found = await someTarget(rig);
      const response = await manage(rig, 5, lun(found));
      must(response === S_OK, `it answers by response ${response}`);
    },
  },
  {
    name: "scsi.tmf_bad_lun",
    section: "5.6.6.2",
    does: "answers a task management function for a unit that is not there by INCORRECT_LUN",
    async run(rig) {
      const found = await someTarget(rig);
      const response = await manage(rig, 5, lun(found, 200));
      must(response === S_INCORRECT_LUN, `it answers by response ${response}`);
    },
  },
  {
    name: "scsi.query_notifications",
    section: "5.6.6.2",
    does: "answers a question for notifications",
    async run(rig) {
      const found = await target(rig);
      const ring = rig.startQueue(CONTROL);
      const bytes = new Uint8Array(16);
      bytes[0] = 1;
      bytes.set(lun(found ?? 0), 4);
      bytes.fill(0xff, 12);
      const done = await rig.ask(ring, [rig.give(bytes), rig.room(5)]);
      must(done.written === 5, `it says that it wrote ${done.written} bytes of an answer`);
    },
  },
  {
    name: "scsi.events_wait",
    section: "5.6.6.3",
    does: "keeps buffers for events until there are some",
    async run(rig) {
      const ring = rig.startQueue(EVENTS);
      ring.chain(0, [rig.room(16)]);
      rig.offer(ring);
      await rig.settle();
      rig.mustWork();
      must(ring.used === 0, "it gave one back with no event to tell of");
    },
  },
];

export const SCSI_CHECKS: readonly Check[] = ALL.map((check) => ({ ...check, type: SCSI }));
