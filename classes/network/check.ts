import {
  type CheckOptions,
  type CheckResult,
  type Finding,
  RequestError,
  round,
  Status,
} from "../../core/class/mod.ts";
import type { NetClient } from "./client.ts";
import type { NetFilter } from "./filter.ts";
import type { NetSteering } from "./steering.ts";
import { formatMac, isStation } from "./protocol.ts";

/** What a check uses of a network card. */
export type Card =
  & Pick<
    NetClient,
    | "mac"
    | "linkUp"
    | "mtu"
    | "speed"
    | "duplex"
    | "offloads"
    | "send"
  >
  & {
    readonly filter: Pick<NetFilter, "setPromiscuous">;
    readonly steering: Pick<NetSteering, "queuePairs">;
  };

/** Frames that are sent if that is allowed, many of them at once. */
const FRAMES = 256;
const AT_ONCE = 64;
/** Smallest and largest. */
const LENGTHS = [60, 1514];

/**
 * Checks a network card: what it says of itself, a control command, and frames that are sent. Those go to the card's own
 * address and are of a type for experiments, so that no one takes them for anything; on this machine none is sent
 * unless that is allowed.
 */
export async function checkNetwork(
  card: Card,
  { write, step }: CheckOptions,
): Promise<CheckResult> {
  step?.("switching promiscuous mode on and off");
  const { mac, mtu, linkUp, speed, duplex } = card;
  const findings: Finding[] = [
    { name: "address", passed: isStation(mac), detail: formatMac(mac) },
    { name: "mtu", passed: mtu >= 68 && mtu <= 65535, detail: `${mtu} bytes` },
    await control(card),
  ];
  if (write) step?.(`sending ${FRAMES} frames`);
  const sent = write ? await send(card) : undefined;
  if (sent) findings.push(sent.finding);
  return {
    findings,
    figures: {
      mac: formatMac(mac),
      mtu,
      linkUp,
      speedMegabitsPerSecond: speed ?? 0,
      duplex: duplex ?? "unknown",
      queuePairs: card.steering.queuePairs,
      framesSent: sent ? FRAMES : 0,
      ...(sent && { framesPerSecond: sent.rate }),
    },
    summary: `${formatMac(mac)}, link ${linkUp ? "up" : "down"}, MTU ${mtu}, ` +
      (sent ? `${FRAMES} frames sent, ${sent.rate} a second` : "no frame sent"),
  };
}

/** A command that changes nothing for good; a card need not have any. */
async function control(card: Card): Promise<Finding> {
  const name = "control";
  try {
    await card.filter.setPromiscuous(true);
    await card.filter.setPromiscuous(false);
    return { name, passed: true, detail: "promiscuous mode on and off" };
  } catch (error) {
    const none = error instanceof RequestError && error.status === Status.unsupported;
    return { name, passed: none, detail: (error as Error).message };
  }
}

async function send(card: Card): Promise<{ readonly finding: Finding; readonly rate: number }> {
  const frames = LENGTHS.map((length) => frameTo(card.mac, Math.min(length, card.mtu + 14)));
  const start = performance.now();
  try {
    for (let sent = 0; sent < FRAMES; sent += AT_ONCE) {
      await Promise.all(
        Array.from({ length: AT_ONCE }, (_, i) => card.send(frames[i % frames.length]!)),
      );
    }
  } catch (error) {
    const detail = (error as Error).message;
    return { finding: { name: "send", passed: false, detail }, rate: 0 };
  }
  const rate = round(FRAMES * 1000 / (performance.now() - start));
  const detail = `${FRAMES} frames of ${LENGTHS.join(" and ")} bytes`;
  return { finding: { name: "send", passed: true, detail }, rate };
}

/** A frame from a card to itself (IEEE 802, local experimental type 1). */
function frameTo(mac: Uint8Array, length: number): Uint8Array {
  const frame = new Uint8Array(length);
  frame.set(mac);
  frame.set(mac, 6);
  frame.set([0x88, 0xb5], 12);
  return frame;
}
