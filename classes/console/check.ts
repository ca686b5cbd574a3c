import {
  type CheckOptions,
  type CheckResult,
  count,
  type Finding,
  megabytesPerSecond,
  within,
} from "../../core/class/mod.ts";
import type { ConsolePort } from "./port.ts";

/** What the check needs of a client. */
export interface Ports {
  /** The ports that the device has from the start. */
  announced(): Promise<readonly ConsolePort[]>;
}

/** What a port that sends back what it gets is called, so that it can be told from others. */
const ECHO = /\becho\b/;
const BYTES = 65536;
/** The other side of a port need not be read; so long is waited for a reader. */
const TAKE_MS = 1000;

/**
 * Looks at the ports of a console device. If it may write, it opens those that are no consoles and whose other side is
 * open, and sends each a pattern; what comes back from an echo is compared.
 */
export async function checkConsole(
  client: Ports,
  { write, step }: CheckOptions,
): Promise<CheckResult> {
  step?.("waiting for its ports");
  const ports = await client.announced();
  const names = ports.map(({ name }) => name).filter((name) => name !== "");
  const findings: Finding[] = [{
    name: "names",
    passed: new Set(names).size === names.length,
    detail: `of ${ports.length} ports, ${names.length} have names, and no two the same one`,
  }];
  let taken = 0, echoed = 0;
  const start = performance.now();
  if (write) {
    for (const port of ports.filter(({ isConsole, connected }) => !isConsole && connected)) {
      step?.(`sending ${BYTES} bytes to port ${port.id}`);
      await port.open();
      const sent = await send(port);
      taken += sent;
      if (sent > 0 && ECHO.test(port.name)) {
        const same = await comesBack(port);
        if (same) echoed += BYTES;
        findings.push({
          name: `echo of port ${port.id}`,
          passed: same,
          detail: `${BYTES} bytes come back as they were sent`,
        });
      }
      await port.close();
      findings.push({
        name: `port ${port.id}`,
        passed: !port.isOpen && !port.isGone,
        detail: "it can be opened and closed",
      });
    }
  }
  const milliseconds = performance.now() - start;
  const consoles = ports.filter(({ isConsole }) => isConsole).length;
  return {
    findings,
    figures: { ports: ports.length, consoles, bytes: taken, echoed, milliseconds },
    summary: `${count(ports.length, "port")}, ${consoles} of them consoles` +
      (taken > 0 ? `; ${taken} bytes sent` : "") +
      (echoed > 0 ? `, ${echoed} echoed, ${megabytesPerSecond(taken, milliseconds)} MB/s` : ""),
    nothing: ports.length === 0,
  };
}

/** Bytes that differ from one place to the next, and are no text that could mean something. */
const PATTERN = Uint8Array.from({ length: BYTES }, (_, i) => 0x80 | (i ^ i >> 7 ^ i >> 11));

/** Sends the pattern. Returns the bytes that were taken: all, or none if the other side is not read. */
async function send(port: ConsolePort): Promise<number> {
  const sending = port.write(PATTERN).then(() => BYTES);
  // One that is not taken ends when the port is closed.
  sending.catch(() => {});
  return await within(TAKE_MS, sending) ?? 0;
}

async function comesBack(port: ConsolePort): Promise<boolean> {
  const signal = AbortSignal.timeout(TAKE_MS);
  let at = 0;
  try {
    while (at < BYTES) {
      const bytes = await port.read(signal);
      if (!bytes?.every((byte, i) => byte === PATTERN[at + i])) return false;
      at += bytes.length;
    }
    return true;
  } catch {
    return false; // they did not come in time
  }
}
