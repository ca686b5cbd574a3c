// Block devices (virtio 1.4, 5.2).

import { type Check, must, needs } from "../check.ts";
import type { Rig } from "../rig.ts";

const BLOCK = 2;
const OK = 0, IOERR = 1, UNSUPP = 2;
const IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13;
const F_SEG_MAX = 1n << 2n, F_RO = 1n << 5n, F_BLK_SIZE = 1n << 6n, F_FLUSH = 1n << 9n;
const F_CONFIG_WCE = 1n << 11n, F_MQ = 1n << 12n, F_DISCARD = 1n << 13n, F_WRITE_ZEROES = 1n << 14n;
const SECTOR = 512;
const ID_BYTES = 20;
/** No device answers by this. */
const NO_STATUS = 0xa5;

interface Answer {
  readonly status: number;
  readonly data: Uint8Array;
  readonly written: number;
}

function header(type: number, sector: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setBigUint64(8, BigInt(sector), true);
  return bytes;
}

/** The requests of a started device. */
function open(rig: Rig, features = 0n) {
  const { rings: [ring], features: agreed } = rig.start({ features, queues: [0] });
  const ask = async (
    type: number,
    sector: number,
    { out, room = 0 }: { readonly out?: Uint8Array; readonly room?: number } = {},
  ): Promise<Answer> => {
    const { bytes, written } = await rig.ask(ring!, [
      rig.give(header(type, sector)),
      ...(out ? [rig.give(out)] : []),
      ...(room > 0 ? [rig.room(room)] : []),
      rig.room(1, NO_STATUS),
    ]);
    return { status: bytes[room]!, data: bytes.subarray(0, room), written };
  };
  return { ask, agreed };
}

const capacity = ({ specific }: Rig) => specific!.read32(0) + specific!.read32(4) * 2 ** 32;

function answers({ status }: Answer, ...wanted: readonly number[]): void {
  must(
    wanted.includes(status),
    `it answers by status ${status}, and not by ${wanted.join(" or ")}`,
  );
}

/** Puts back what stood in a sector. */
async function keeping(
  rig: Rig,
  features: bigint,
  act: (device: ReturnType<typeof open>, before: Uint8Array) => Promise<void>,
): Promise<void> {
  needs((rig.offered & F_RO) === 0n, "it is read-only");
  needs(capacity(rig) > 0, "it has no sectors");
  const device = open(rig, features);
  const { data } = await device.ask(IN, 0, { room: SECTOR });
  const before = data.slice();
  await act(device, before);
  answers(await device.ask(OUT, 0, { out: before }), OK);
}

/** One segment of a discard and its like. */
function segment(sector: number, sectors: number, flags = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(sector), true);
  view.setUint32(8, sectors, true);
  view.setUint32(12, flags, true);
  return bytes;
}

const ALL: readonly Omit<Check, "type">[] = [
  {
    name: "block.configuration",
    section: "5.2.4",
    does: "has a configuration that can be true",
    run(rig) {
      const { specific, offered } = rig;
      must(specific !== undefined && specific.size >= 8, "it has no room for its capacity");
      must(capacity(rig) < 2 ** 53, `its capacity is ${capacity(rig)} sectors`);
      const fits = (end: number) =>
        must(specific.size >= end, `it has ${specific.size} bytes only`);
      if (offered & F_SEG_MAX) {
        fits(16);
        const most = specific.read32(12);
        must(most >= 1, "it takes no data: seg_max is 0");
      }
      if (offered & F_BLK_SIZE) {
        fits(24);
        const size = specific.read32(20);
        must(size >= SECTOR && (size & size - 1) === 0, `its blocks have ${size} bytes`);
      }
      if (offered & F_MQ) {
        fits(36);
        const queues = specific.read16(34);
        must(queues >= 1 && rig.largest(queues - 1) > 0, `it has no queue ${queues - 1}`);
      }
    },
  },
  {
    name: "block.unknown_type",
    section: "5.2.6",
    does: "answers a request of a type that it does not know by UNSUPP",
    run: async (rig) => answers(await open(rig).ask(0x7fff_fffe, 0, { room: SECTOR }), UNSUPP),
  },
  {
    name: "block.read",
    section: "5.2.6",
    does: "reads its first and its last sector",
    async run(rig) {
      needs(capacity(rig) > 0, "it has no sectors");
      const { ask } = open(rig);
      for (const sector of [0, capacity(rig) - 1]) {
        const answer = await ask(IN, sector, { room: SECTOR });
        answers(answer, OK);
        must(answer.written === SECTOR + 1, `it says that it wrote ${answer.written} bytes`);
      }
    },
  },
  {
    name: "block.beyond",
    section: "5.2.6",
    does: "answers a read behind its last sector by IOERR",
    run: async (rig) => answers(await open(rig).ask(IN, capacity(rig), { room: SECTOR }), IOERR),
  },
  {
    name: "block.across_the_end",
    section: "5.2.6",
    does: "answers a read across its end by IOERR",
    async run(rig) {
      needs(capacity(rig) > 0, "it has no sectors");
      answers(await open(rig).ask(IN, capacity(rig) - 1, { room: 2 * SECTOR }), IOERR);
    },
  },
  {
    name: "block.far_beyond",
    section: "5.2.6",
    does: "answers a sector whose bytes no 64 bits can count by IOERR",
    run: async (rig) => answers(await open(rig).ask(IN, 2 ** 62, { room: SECTOR }), IOERR),
  },
  {
    name: "block.half_a_sector",
    section: "5.2.6.1",
    does: "does not read a part of a sector",
    should: true,
    async run(rig) {
      const { status } = await open(rig).ask(IN, 0, { room: SECTOR / 2 });
      must(status === IOERR || status === UNSUPP, `it answers by status ${status}`);
    },
  },
  {
    name: "block.read_only",
    section: "5.2.6.2",
    does: "fails a write if it is read-only, and writes nothing",
    async run(rig) {
      needs((rig.offered & F_RO) !== 0n, "it can be written");
      const { ask } = open(rig, F_RO);
      answers(await ask(OUT, 0, { out: new Uint8Array(SECTOR) }), IOERR);
    },
  },
  {
    name: "block.write",
    writes: true,
    section: "5.2.6",
    does: "reads what was written",
    run: (rig) =>
      keeping(rig, 0n, async ({ ask }) => {
        const bytes = new Uint8Array(SECTOR);
        rig.random.fill(bytes);
        const written = await ask(OUT, 0, { out: bytes });
        answers(written, OK);
        must(written.written === 1, `it says that it wrote ${written.written} bytes of a status`);
        const { data } = await ask(IN, 0, { room: SECTOR });
        must(data.every((byte, i) => byte === bytes[i]), "it reads other bytes");
      }),
  },
  {
    name: "block.write_beyond",
    section: "5.2.6",
    does: "answers a write behind its last sector by IOERR",
    async run(rig) {
      needs((rig.offered & F_RO) === 0n, "it is read-only");
      answers(await open(rig).ask(OUT, capacity(rig), { out: new Uint8Array(SECTOR) }), IOERR);
    },
  },
  {
    name: "block.flush",
    section: "5.2.6.2",
    does: "flushes where that was agreed",
    async run(rig) {
      needs((rig.offered & F_FLUSH) !== 0n, "it does not offer VIRTIO_BLK_F_FLUSH");
      const answer = await open(rig, F_FLUSH).ask(FLUSH, 0);
      answers(answer, OK);
      must(answer.written === 1, `it says that it wrote ${answer.written} bytes of a status`);
    },
  },
  {
    name: "block.get_id",
    section: "5.2.6",
    does: "tells its name in 20 bytes, or that it cannot",
    async run(rig) {
      const answer = await open(rig).ask(GET_ID, 0, { room: ID_BYTES });
      answers(answer, OK, UNSUPP);
      if (answer.status !== OK) return;
      const { data } = answer;
      const end = data.indexOf(0);
      const text = data.subarray(0, end < 0 ? data.length : end);
      must(text.every((byte) => byte >= 0x20 && byte < 0x7f), "it is no ASCII text");
    },
  },
  {
    name: "block.writeback",
    section: "5.2.5.2",
    does: "keeps how its cache was switched, and is back with a reset",
    run(rig) {
      const wanted = F_FLUSH | F_CONFIG_WCE;
      needs((rig.offered & wanted) === wanted, "it does not offer VIRTIO_BLK_F_CONFIG_WCE");
      open(rig, wanted);
      for (const mode of [0, 1]) {
        rig.specific!.write8(32, mode);
        const now = rig.specific!.read8(32);
        must(now === mode, `writeback is ${now} where ${mode} was written`);
      }
    },
  },
  {
    name: "block.discard",
    writes: true,
    section: "5.2.6.2",
    does: "takes a discard, and refuses one that is to unmap",
    async run(rig) {
      needs((rig.offered & F_DISCARD) !== 0n, "it does not offer VIRTIO_BLK_F_DISCARD");
      await keeping(rig, F_DISCARD, async ({ ask }) => {
        answers(await ask(DISCARD, 0, { out: segment(0, 1, 1) }), UNSUPP);
        answers(await ask(DISCARD, 0, { out: segment(capacity(rig), 1) }), IOERR);
      });
    },
  },
  {
    name: "block.write_zeroes",
    writes: true,
    section: "5.2.6.2",
    does: "makes sectors read as zeroes, and refuses reserved flags",
    async run(rig) {
      needs((rig.offered & F_WRITE_ZEROES) !== 0n, "it does not offer VIRTIO_BLK_F_WRITE_ZEROES");
      await keeping(rig, F_WRITE_ZEROES, async ({ ask }) => {
        const bytes = new Uint8Array(SECTOR).fill(0x5a);
        answers(await ask(OUT, 0, { out: bytes }), OK);
        answers(await ask(WRITE_ZEROES, 0, { out: segment(0, 1, 2) }), UNSUPP);
        answers(await ask(WRITE_ZEROES, 0, { out: segment(0, 1) }), OK);
        const { data } = await ask(IN, 0, { room: SECTOR });
        must(data.every((byte) => byte === 0), "it reads other bytes than zeroes");
      });
    },
  },
];

export const BLOCK_CHECKS: readonly Check[] = ALL.map((check) => ({ ...check, type: BLOCK }));
