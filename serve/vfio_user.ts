/**
 * Serves simulated PCI functions by vfio-user: a virtual machine monitor shows them to its guest, whose own drivers use
 * them.
 *
 * @module
 */

import { InterruptLoop, type Loop } from "../core/irq/interrupt_loop.ts";
import { clear, close, eventfd, signal } from "../core/linux/fd.ts";
import { absolutePath } from "../core/linux/file.ts";
import { accept, listenUnix, type UnixListener } from "../core/linux/socket.ts";
import type { FunctionModel } from "../simulation/function_model.ts";
import { monotonicClock } from "../core/linux/clock.ts";
import { Trace, type TraceSink } from "../core/trace/trace.ts";
import type { DeviceModel } from "../simulation/model.ts";
import { SimulatedFunction } from "../simulation/pci_function.ts";
import { VirtioDevice } from "../simulation/virtio_device.ts";
import { VirtioFunction } from "../simulation/virtio_pci.ts";
import { Connection } from "./vfio_user_connection.ts";
import { type ServedFigures, Witness } from "./witness.ts";

/** How functions are served. */
export interface VfioUserOptions {
  /** Waits for clients; if left out, one of its own, which keeps the program alive. */
  readonly loop?: Loop;
  /**
   * Told what is wrong with a client, its guest or its memory: one sentence, with the name of the function. The console
   * if left out.
   */
  readonly log?: (sentence: string) => void;
  /** Takes what clients and guests do with the functions. */
  readonly trace?: TraceSink;
  /** Whether requests, doorbells and interrupts are counted; false if left out. */
  readonly counted?: boolean;
}

/** What is served; disposing it takes the sockets away. */
export interface VfioUserServer extends AsyncDisposable {
  /** Absolute paths of the sockets, by the names of the functions. */
  readonly sockets: Readonly<Record<string, string>>;
  /** What was seen of each so far, by its name, if that is counted or traced. */
  figures(): Readonly<Record<string, ServedFigures>>;
}

/**
 * Serves PCI functions at sockets in a folder, each at `<folder>/<name>.sock`, to one client at a time. What a model
 * holds, such as a disk, stays when its client goes and another comes.
 *
 * @example An entropy device for QEMU 10.1 and later
 * ```ts ignore
 * import { serveVfioUser } from "@virtio/deno/serve";
 *
 * const entropy = {
 *   id: 4,
 *   queues: [64],
 *   handle: (_queue, request) => request.write(crypto.getRandomValues(new Uint8Array(256))),
 * };
 * await using server = serveVfioUser({ entropy }, "/tmp");
 * ```
 *
 * @param functions Models by name.
 * @throws {PathTaken} If a path is not free.
 * @throws {RangeError} If a path is too long, or a model cannot be.
 */
export function serveVfioUser(
  functions: Readonly<Record<string, DeviceModel | FunctionModel>>,
  folder: string,
  options: VfioUserOptions = {},
): VfioUserServer {
  const own = options.loop ? undefined : new InterruptLoop();
  const loop = options.loop ?? own!;
  const log = options.log ?? ((sentence: string) => console.error(sentence));
  const served: Served[] = [];
  const trace = options.trace && new Trace(options.trace, monotonicClock());
  const witnesses: Record<string, Witness> = {};
  const end = async () => {
    for (const each of served) each[Symbol.dispose]();
    trace?.[Symbol.dispose]();
    await own?.[Symbol.asyncDispose]();
  };
  const sockets: Record<string, string> = {};
  try {
    for (const [name, model] of Object.entries(functions)) {
      const path = sockets[name] = absolutePath(`${folder}/${name}.sock`);
      if (trace || options.counted) {
        witnesses[name] = new Witness(trace?.device(name, "vfio-user"), !("bars" in model));
      }
      const told = (sentence: string) => log(`${name}: ${sentence}`);
      served.push(new Served(model, path, loop, told, witnesses[name]));
    }
  } catch (error) {
    void end();
    throw error;
  }
  own?.start();
  const figures = () =>
    Object.fromEntries(Object.entries(witnesses).map(([name, { figures }]) => [name, figures]));
  return { sockets, figures, [Symbol.asyncDispose]: end };
}

/** The function of a model; what is done with its rings is seen by a witness, if there is one. */
function functionOf(
  model: DeviceModel | FunctionModel,
  witness: Witness | undefined,
): FunctionModel {
  if ("bars" in model) return model;
  if (!witness) return new VirtioFunction(model);
  const { seen } = witness;
  return new VirtioFunction(model, (around) => new VirtioDevice(model, { ...around, seen }));
}

/** A function and its socket. */
class Served implements Disposable {
  readonly #device: SimulatedFunction;
  readonly #loop: Loop;
  readonly #log: (sentence: string) => void;
  readonly #listener: UnixListener;
  readonly #witness: Witness | undefined;
  /** Signalled while the device has something to do. */
  readonly #again = eventfd();
  #connection: Connection | undefined;
  #isOver = false;

  constructor(
    model: DeviceModel | FunctionModel,
    path: string,
    loop: Loop,
    log: (sentence: string) => void,
    witness: Witness | undefined,
  ) {
    this.#loop = loop;
    this.#log = log;
    this.#witness = witness;
    try {
      this.#device = new SimulatedFunction(functionOf(model, witness), {
        interrupt: (vector) => {
          witness?.interrupted(`vector ${vector}`);
          this.#connection?.interrupt(vector);
        },
        pin: (asserted) => {
          if (asserted) witness?.interrupted("the pin");
          this.#connection?.pin(asserted);
        },
        failed: (error) => {
          witness?.failed(error.message);
          (this.#connection?.notice ?? log).call(this.#connection, error.message);
        },
      });
      this.#listener = listenUnix(path);
    } catch (error) {
      close(this.#again);
      throw error;
    }
    loop.add(this.#listener.fd, () => this.#accept());
    loop.add(this.#again, () => {
      clear(this.#again);
      // More to do: others on this thread first.
      if (this.#device.process()) signal(this.#again);
    });
  }

  #accept(): void {
    for (let fd = accept(this.#listener.fd); fd >= 0; fd = accept(this.#listener.fd)) {
      // It may have gone, unheard so far.
      this.#connection?.read();
      if (this.#connection) {
        this.#log("A second client came while one is connected; it is refused");
        close(fd);
        continue;
      }
      this.#witness?.came();
      this.#connection = new Connection(fd, {
        device: this.#device,
        loop: this.#loop,
        rung: () => signal(this.#again),
        notice: this.#log,
        ...(this.#witness && { witness: this.#witness }),
        ended: (why) => {
          this.#connection = undefined;
          this.#witness?.left(why);
        },
      });
    }
  }

  [Symbol.dispose](): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#loop.remove(this.#listener.fd);
    this.#loop.remove(this.#again);
    this.#listener.close();
    this.#connection?.[Symbol.dispose]();
    // Timers of a model that was used.
    this.#device.reset();
    close(this.#again);
  }
}
