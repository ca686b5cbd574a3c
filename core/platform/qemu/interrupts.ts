import { clear, close, eventfd } from "../../linux/fd.ts";
import { memoryFile } from "../../linux/memory.ts";
import { poll, pollAsync, POLLIN } from "../../linux/poll.ts";
import { sendDescriptors } from "../../linux/descriptors.ts";
import { socketPair } from "../../linux/socket.ts";
import type { Message } from "../../pci/msix.ts";
import type { Qtest } from "./qtest.ts";

/**
 * Interrupts as eventfds. QEMU signals an eventfd for a device only through KVM, with one exception: its
 * inter-VM shared memory device (QEMU, docs/specs/ivshmem-spec.txt) has a doorbell register, and what is written
 * there signals an eventfd that the ivshmem server provided. We are that server, and an MSI-X message is nothing
 * but a memory write: so the devices' messages go to that register.
 *
 * Each function that is taken has a peer of its own there, and so as many eventfds as it wants, whatever the others have.
 * The peer stands in the upper half of what is written, and the message of a function that has MSI and no MSI-X has no
 * upper half: those share peer 0, with an eventfd each.
 */
export interface Interrupts extends Disposable {
  /** QEMU's end of the server's socket; to be closed when QEMU has it. */
  readonly socket: number;
  /**
   * Takes note where the ivshmem device's registers are, and waits until it is heard.
   *
   * @throws If that is not so within the deadline.
   */
  connect(qtest: Qtest, registers: number): Promise<void>;
  /**
   * Makes eventfds, at most {@linkcode MOST_VECTORS}, and waits until messages signal them.
   *
   * @throws If they do not within the deadline.
   */
  open(count: number): Vectors;
  /**
   * Makes the eventfd of a message of 16 bits; of these there are {@linkcode MOST_VECTORS} for all functions together.
   *
   * @returns It; undefined if there are no more, or none because QEMU is the master.
   * @throws As `open`.
   */
  openShort(): Vectors | undefined;
}

/** The eventfds of one function; disposed when it signals them no more. */
export interface Vectors extends Disposable {
  /** The descriptors. */
  readonly fds: readonly number[];
  /** The message that signals each. */
  readonly messages: readonly Message[];
}

/** As many as one function may have. */
export const MOST_VECTORS = 64;

const DOORBELL = 0x0c;
/** QEMU may only just have started. */
const START_MS = 10_000;
/** The core waits in place: other devices do not go on meanwhile. */
const GROW_MS = 5000;

/** By what QEMU itself goes at its ivshmem device: it listens to what is written for itself. */
const QEMU_ID = 0xffff;
/** Only by this number it may be moved to another QEMU: its state is its own then, and no server's. */
const MASTER_ID = 0;

/** A number at the ivshmem device, and the eventfds that QEMU knows under it. */
interface Peer {
  readonly id: number;
  readonly fds: number[];
}

function silence(milliseconds: number): Error {
  return new Error(
    `Cannot receive interrupts from QEMU: its ivshmem device signalled none within ${
      milliseconds / 1000
    } s`,
  );
}

/**
 * Makes the server's side of the conversation; how it begins is all said before QEMU starts.
 *
 * @param master Whether QEMU is told that its ivshmem device is the master, so that the machine can be moved: there are no
 * messages of 16 bits then, since they would be for QEMU itself.
 */
export function interrupts(master: boolean): Interrupts {
  const [ours, theirs] = socketPair();
  // Shared memory is what the device is there for; it is not used here.
  const memory = memoryFile("virtio-ivshmem", 4096);
  /** The peer of messages without an upper half, and which of its eventfds are given back. */
  const short: Peer = { id: 0, fds: [] };
  const freeShort: number[] = [];
  const peers: Peer[] = [short];
  // A peer that is given back is for the next one: QEMU (7.2) uses memory that it has freed if a peer leaves and comes.
  const free: Peer[] = [];
  let machine: { readonly qtest: Qtest; readonly register: number };

  const say = (value: number, ...descriptors: number[]) =>
    sendDescriptors(ours, new Uint8Array(new BigInt64Array([BigInt(value)]).buffer), descriptors);
  say(0); // version of the protocol
  say(master ? MASTER_ID : QEMU_ID);
  say(-1, memory);

  function makePeer(): Peer {
    const peer = { id: peers.length, fds: [] };
    peers.push(peer);
    return peer;
  }

  function message({ id }: Peer, vector: number): Message {
    return { address: machine.register, data: id << 16 | vector };
  }

  function announce(peer: Peer, count: number): void {
    while (peer.fds.length < count) {
      const fd = eventfd();
      peer.fds.push(fd);
      say(peer.id, fd);
    }
  }

  function waitFor(peer: Peer, count: number): void {
    if (peer.fds.length >= count) return;
    announce(peer, count);
    const until = performance.now() + GROW_MS;
    while (reaches(peer, poll) === 0) {
      if (performance.now() > until) throw silence(GROW_MS);
    }
  }

  /**
   * Whether messages reach a peer. QEMU takes the eventfds in order, one in each turn of its loop: when the last works, all
   * do.
   */
  function reaches<T>(
    peer: Peer,
    wait: (set: Int32Array<ArrayBuffer>, n: number, ms: number) => T,
  ) {
    const last = peer.fds.length - 1;
    const { address, data } = message(peer, last);
    machine.qtest.write(4, address, data);
    machine.qtest.takeAnswers();
    return wait(new Int32Array([peer.fds[last]!, POLLIN]), 1, 1);
  }

  function open(count: number): Vectors {
    const peer = free.pop() ?? makePeer();
    waitFor(peer, count);
    const fds = peer.fds.slice(0, count);
    for (const fd of fds) clear(fd);
    return {
      fds,
      messages: fds.map((_, vector) => message(peer, vector)),
      [Symbol.dispose]: () => void free.push(peer),
    };
  }

  function openShort(): Vectors | undefined {
    if (master || freeShort.length === 0 && short.fds.length === MOST_VECTORS) return undefined;
    const vector = freeShort.pop() ?? short.fds.length;
    waitFor(short, vector + 1);
    clear(short.fds[vector]!);
    return {
      fds: [short.fds[vector]!],
      messages: [message(short, vector)],
      [Symbol.dispose]: () => void freeShort.push(vector),
    };
  }

  return {
    socket: theirs,
    open,
    openShort,
    async connect(qtest, registers) {
      machine = { qtest, register: registers + DOORBELL };
      const peer = makePeer();
      announce(peer, 1);
      const until = performance.now() + START_MS;
      while (!await reaches(peer, pollAsync)) {
        if (performance.now() > until) throw silence(START_MS);
      }
      free.push(peer);
    },
    [Symbol.dispose]() {
      for (const { fds } of peers) fds.forEach(close);
      close(memory);
      close(ours);
    },
  };
}
