import { clear, close, eventfd } from "../../host/fd.ts";
import { memoryFile } from "../../host/memory.ts";
import { pollAsync, POLLIN } from "../../host/poll.ts";
import { sendDescriptors, socketPair } from "../../host/socket.ts";
import type { Message } from "../../pci/msix.ts";
import type { Qtest } from "./qtest.ts";

/**
 * Interrupts as eventfds. QEMU signals an eventfd for a device only through KVM, with one exception: its
 * inter-VM shared memory device (QEMU, docs/specs/ivshmem-spec.txt) has a doorbell register, and what is written
 * there signals an eventfd that the ivshmem server provided. We are that server, and an MSI-X message is nothing
 * but a memory write: so the devices' messages go to that register.
 */
export interface Interrupts extends Disposable {
  /** QEMU's end of the server's socket; to be closed when QEMU has it. */
  readonly socket: number;
  /** Takes up to so many eventfds that are free, none of them signalled. */
  take(wanted: number): Interrupt[];
  /** Gives eventfds back that no device signals any more. */
  give(interrupts: readonly Interrupt[]): void;
  /** The message that signals an eventfd. */
  message(interrupt: Interrupt): Message;
  /**
   * Takes note where the ivshmem device's registers are, and waits until its eventfds work.
   *
   * @throws If they do not within the deadline.
   */
  connect(qtest: Qtest, registers: number): Promise<void>;
}

/** One eventfd. */
export interface Interrupt {
  /** Its number at the ivshmem device. */
  readonly vector: number;
  /** The descriptor. */
  readonly fd: number;
}

/** How many eventfds there are for all devices together. */
export const VECTORS = 64;

/** Our number among the ivshmem peers; QEMU is number 0. */
const PEER = 1;
const DOORBELL = 0x0c;
const DEADLINE = 10_000;

/** Makes the eventfds and the server's side of the conversation, which is all said before QEMU starts. */
export function interrupts(): Interrupts {
  const [ours, theirs] = socketPair();
  // Shared memory is what the device is there for; nobody here uses it.
  const memory = memoryFile("virtio-ivshmem", 4096);
  const all = Array.from({ length: VECTORS }, (_, vector) => ({ vector, fd: eventfd() }));
  const free = [...all];
  let register = 0;

  const say = (value: number, ...descriptors: number[]) =>
    sendDescriptors(ours, new Uint8Array(new BigInt64Array([BigInt(value)]).buffer), descriptors);
  say(0); // version of the protocol
  say(0); // QEMU's number
  say(-1, memory);
  for (const { fd } of all) say(PEER, fd);

  function message({ vector }: Interrupt): Message {
    return { address: register, data: PEER << 16 | vector };
  }

  return {
    socket: theirs,
    take(wanted) {
      const taken = free.splice(0, wanted);
      for (const { fd } of taken) clear(fd);
      return taken;
    },
    give(interrupts) {
      free.push(...interrupts);
    },
    message,
    async connect(qtest, registers) {
      register = registers + DOORBELL;
      // QEMU takes the eventfds in order, one in each turn of its loop: when the last works, all do.
      const last = all.at(-1)!;
      const { address, data } = message(last);
      const set = new Int32Array([last.fd, POLLIN]);
      const until = performance.now() + DEADLINE;
      do {
        qtest.write(4, address, data);
        qtest.settle();
        if (await pollAsync(set, 1, 1) > 0) return;
      } while (performance.now() < until);
      throw new Error(
        `Cannot receive interrupts from QEMU: its ivshmem device signalled none within ${
          DEADLINE / 1000
        } s`,
      );
    },
    [Symbol.dispose]() {
      for (const { fd } of all) close(fd);
      close(memory);
      close(ours);
    },
  };
}
