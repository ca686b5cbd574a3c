import { ignoreSignal, SIGUSR1 } from "../linux/process.ts";

/** Deno begins to wait for the signal half a second after its start, whatever was said of it before. */
const LATER_MS = 1000;

/**
 * Keeps Deno from opening a port for a debugger when SIGUSR1 comes: any user of the machine could connect to it
 * and run code with this program's rights.
 */
export function refuseDebugger(): Disposable {
  const refuse = () => ignoreSignal(SIGUSR1);
  refuse();
  const later = setTimeout(refuse, LATER_MS);
  Deno.unrefTimer(later);
  return { [Symbol.dispose]: () => clearTimeout(later) };
}
