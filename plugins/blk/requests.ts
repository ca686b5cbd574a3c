import { BlockOperation } from "@virtio/deno/classes/block";
import * as wire from "./wire.ts";

/** How the driver puts a request to the device (5.2.6). */
export interface RequestForm {
  /** Its type. */
  readonly type: number;
  /** What goes between header and status: data that the device writes or reads, a segment of the disk, or nothing. */
  readonly carries: "input" | "output" | "segment" | "nothing";
  /** Whether the header has a sector. */
  readonly placed: boolean;
  /** Whether it changes what the device holds. */
  readonly changes: boolean;
  /** The feature that it needs; 0 if none. */
  readonly feature: bigint;
}

const nothing = form("nothing");
const input = form("input");
const output = form("output", { placed: true, changes: true });
const segment = form("segment", { changes: true });
const zone = form("nothing", { placed: true, changes: true, feature: wire.F_ZONED });

function form(
  carries: RequestForm["carries"],
  more: Partial<RequestForm> = {},
): Omit<RequestForm, "type"> {
  return { carries, placed: false, changes: false, feature: 0n, ...more };
}

const FORMS: Readonly<Record<number, RequestForm>> = {
  [BlockOperation.read]: { ...input, type: wire.T_IN, placed: true },
  [BlockOperation.write]: { ...output, type: wire.T_OUT },
  [BlockOperation.flush]: { ...nothing, type: wire.T_FLUSH, feature: wire.F_FLUSH },
  [BlockOperation.identify]: { ...input, type: wire.T_GET_ID },
  [BlockOperation.discard]: { ...segment, type: wire.T_DISCARD, feature: wire.F_DISCARD },
  [BlockOperation.writeZeroes]: {
    ...segment,
    type: wire.T_WRITE_ZEROES,
    feature: wire.F_WRITE_ZEROES,
  },
  [BlockOperation.secureErase]: {
    ...segment,
    type: wire.T_SECURE_ERASE,
    feature: wire.F_SECURE_ERASE,
  },
  [BlockOperation.lifetime]: { ...input, type: wire.T_GET_LIFETIME, feature: wire.F_LIFETIME },
  [BlockOperation.zoneReport]: {
    ...input,
    type: wire.T_ZONE_REPORT,
    placed: true,
    feature: wire.F_ZONED,
  },
  [BlockOperation.zoneOpen]: { ...zone, type: wire.T_ZONE_OPEN },
  [BlockOperation.zoneClose]: { ...zone, type: wire.T_ZONE_CLOSE },
  [BlockOperation.zoneFinish]: { ...zone, type: wire.T_ZONE_FINISH },
  [BlockOperation.zoneReset]: { ...zone, type: wire.T_ZONE_RESET },
  [BlockOperation.zoneResetAll]: { ...zone, type: wire.T_ZONE_RESET_ALL, placed: false },
  [BlockOperation.zoneAppend]: { ...output, type: wire.T_ZONE_APPEND, feature: wire.F_ZONED },
};

/** The forms of the requests that a device with these features takes, by operation. */
export function requestForms(features: bigint): readonly (RequestForm | undefined)[] {
  return Object.values(BlockOperation).map((operation) => {
    const form = FORMS[operation];
    return form && (features & form.feature) === form.feature ? form : undefined;
  });
}
