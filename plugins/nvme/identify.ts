import type { Properties } from "@virtio/deno/plugin";
import type { Controller } from "./controller.ts";
import * as wire from "./wire.ts";

const SECTOR_BYTES = 512;
/** Positions are numbers here, and those are exact up to this many bytes. */
const MOST_BYTES = BigInt(Number.MAX_SAFE_INTEGER);
/** Most sectors of a stretch in the block protocol. */
const MOST_SECTORS = 2 ** 32 - 1;

/** A controller and one of its namespaces: what the driver needs to know of both. */
export interface Identity {
  /** Serial number: 20 bytes of ASCII, padded with spaces. */
  readonly serial: Uint8Array;
  /** Most bytes of a command's data; `Infinity` for any number. */
  readonly mostBytes: number;
  /** Whether it takes shadow doorbells. */
  readonly shadowDoorbells: boolean;
  /** Abort commands that it takes at a time. */
  readonly aborts: number;
  /** Whether it has a volatile write cache. */
  readonly writeCache: boolean;
  /** Number of the namespace. */
  readonly nsid: number;
  /** Bytes of its blocks. */
  readonly blockBytes: number;
  /** Sectors of 512 bytes that it has. */
  readonly sectors: number;
  /** Whether it is write protected. */
  readonly readOnly: boolean;
  /** Most sectors of a dataset management command; 0 if it knows none. */
  readonly discardSectors: number;
  /** Most sectors of a write zeroes command, likewise. */
  readonly zeroesSectors: number;
  /** Whether that can free storage. */
  readonly zeroesUnmap: boolean;
  /** In blocks, 0 where it says nothing: of a write that is best, of the greatest, of a discard. */
  readonly optimal: { readonly write: number; readonly most: number; readonly discard: number };
}

/**
 * Asks a controller what it is, and what the namespace is (base 2.0, 5.17; NVM 1.0, 4.1.5).
 *
 * @param wanted Number of the namespace; 0 for the first that is active.
 * @throws Error If there is no such, or its blocks cannot be used.
 */
export function identify(controller: Controller, wanted: number): Identity {
  const ctrl = told(controller.identify(wire.CNS_CONTROLLER), "what it is");
  const nsid = choose(controller, wanted);
  const ns = told(controller.identify(wire.CNS_NAMESPACE, nsid), `what namespace ${nsid} is`);
  // Controllers from before 2.0 do not know this one.
  const nvm = controller.identify(wire.CNS_NVM_CONTROLLER);
  const wrong = (what: string) => new Error(`Namespace ${nsid} of the controller ${what}`);

  const flbas = ns.getUint8(wire.NS_FLBAS);
  const format = ns.getUint32(wire.NS_LBAF + 4 * (flbas & 0xf | flbas >> 1 & 0x30), true);
  const blockBytes = 2 ** (format >>> 16 & 0xff);
  if (blockBytes < SECTOR_BYTES || blockBytes > wire.PAGE_BYTES) {
    throw wrong(`has blocks of ${blockBytes} bytes; 512 to ${wire.PAGE_BYTES} can be used`);
  }
  const metadata = format & 0xffff;
  if (metadata > 0) throw wrong(`has ${metadata} bytes of metadata with each block`);
  const size = ns.getBigUint64(wire.NS_NSZE, true);
  if (size * BigInt(blockBytes) > MOST_BYTES) throw wrong(`cannot have ${size} blocks`);

  const perBlock = blockBytes / SECTOR_BYTES;
  const limit = (blocks: number) => Math.min(blocks * perBlock, MOST_SECTORS);
  const oncs = ctrl.getUint16(wire.ID_ONCS, true);
  const zeroes = transfer(nvm?.getUint8(wire.NVM_WZSL) ?? 0) / blockBytes;
  const range = nvm?.getUint32(wire.NVM_DMRSL, true) || MOST_SECTORS;
  const tells = (ns.getUint8(wire.NS_NSFEAT) & wire.NSFEAT_OPTIMAL) !== 0;
  const optimal = (field: number) => tells ? ns.getUint16(field, true) + 1 : 0;
  return {
    serial: new Uint8Array(ctrl.buffer, wire.ID_SN, wire.ID_SN_BYTES),
    mostBytes: transfer(ctrl.getUint8(wire.ID_MDTS)),
    shadowDoorbells: (ctrl.getUint16(wire.ID_OACS, true) & wire.OACS_DOORBELL_BUFFER) !== 0,
    aborts: ctrl.getUint8(wire.ID_ACL) + 1,
    writeCache: (ctrl.getUint8(wire.ID_VWC) & 1) !== 0,
    nsid,
    blockBytes,
    sectors: Number(size) * perBlock,
    readOnly: (ns.getUint8(wire.NS_NSATTR) & 1) !== 0,
    discardSectors: oncs & wire.ONCS_DATASET_MANAGEMENT ? limit(range) : 0,
    zeroesSectors: oncs & wire.ONCS_WRITE_ZEROES ? limit(Math.min(zeroes, wire.ZEROES_BLOCKS)) : 0,
    zeroesUnmap: (ns.getUint8(wire.NS_DLFEAT) & wire.DLFEAT_DEAC) !== 0,
    optimal: {
      write: optimal(wire.NS_NPWG),
      most: optimal(wire.NS_NOWS),
      discard: optimal(wire.NS_NPDG),
    },
  };
}

/** What the block protocol tells of it. */
export function properties(identity: Identity, writeCache: boolean): Properties {
  const { blockBytes, sectors, readOnly, optimal, discardSectors, zeroesSectors, zeroesUnmap } =
    identity;
  return {
    sectors,
    blockSize: blockBytes,
    readOnly,
    writeCache,
    cacheSwitch: identity.writeCache,
    physicalBlockSize: Math.max(1, optimal.write) * blockBytes,
    minimumTransfer: optimal.write * blockBytes,
    bestTransfer: optimal.most * blockBytes,
    discardSectors,
    discardAlignment: optimal.discard * blockBytes / SECTOR_BYTES,
    zeroesSectors,
    zeroesUnmap,
  };
}

/** Bytes that a field of powers of two of memory pages means, where 0 is no limit. */
function transfer(exponent: number): number {
  return exponent === 0 ? Infinity : wire.PAGE_BYTES * 2 ** exponent;
}

function told(page: DataView | undefined, what: string): DataView {
  if (page) return page;
  throw new Error(`The controller does not tell ${what}`);
}

function choose(controller: Controller, wanted: number): number {
  const list = told(
    controller.identify(wire.CNS_ACTIVE_NAMESPACES),
    "which namespaces are active",
  );
  const active = Array.from(
    { length: wire.IDENTIFY_BYTES / 4 },
    (_, i) => list.getUint32(4 * i, true),
  );
  const end = active.indexOf(0);
  const there = end < 0 ? active : active.slice(0, end);
  const nsid = wanted === 0 ? there[0] : there.find((each) => each === wanted);
  if (nsid !== undefined) return nsid;
  const which = wanted === 0 ? "no active namespace" : `no active namespace ${wanted}`;
  throw new Error(`The controller has ${which}; it has ${there.join(", ") || "none"}`);
}
