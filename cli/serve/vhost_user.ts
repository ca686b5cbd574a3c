import { absolutePath } from "../../core/linux/mod.ts";
import type { Transport } from "../commands/serve.ts";
import { CliError, endedByPerson, EXIT, untilEnded, usageError } from "../exit.ts";
import { printJson } from "../json.ts";
import { chooseModel } from "./model_options.ts";
import { sharedMemory, shellLine } from "./qemu_line.ts";
import { watchOptions } from "./watch_options.ts";

/** A device at a Unix socket: the machine plays its registers, and we its rings. */
export const VHOST_USER: Transport = {
  option: {
    name: "vhost-user",
    value: "<socket>",
    summary: "serve one device by vhost-user, at this path of a Unix socket",
  },
  examples: [
    ["serve blk --vhost-user /tmp/blk.sock --disk disk.img", "a disk for a QEMU"],
    ["serve blk --vhost-user /tmp/blk.sock --lie D-41 --once", "a disk that lies to one guest"],
  ],
  notes: [
    "By --vhost-user one machine at a time may use the device; it prints the arguments that QEMU needs. The",
    "guest's memory must be shared and sealed: memory-backend-memfd with share=on. A machine that breaks the",
    "rules is disconnected, and another one may come.",
    "",
    "A guest goes on with its disk or card when this program was ended and is started again, if QEMU connects anew: add to its",
    "-chardev reconnect-ms=1000, or before QEMU 9.2 reconnect=1.",
  ],
  most: 1,
  async serve(context, where, [name]) {
    const { io, given, signal, options } = context;
    const serving = await io.system.loadServing();
    using chosen = chooseModel(context, serving, name!);
    const { model } = chosen;
    const { vhostUser } = serving.MODELS[name!]!;
    if ("bars" in model || !vhostUser) {
      throw usageError(
        `Cannot serve ${name} by vhost-user: it is no VirtIO device. --vfio-user serves whole PCI functions`,
      );
    }
    const watch = watchOptions(context);
    await using served = serving.serveVhostUser(model, where, {
      once: given.once === true,
      unit: vhostUser.unit ?? 1,
      log: context.talk,
      name: name!,
      ...await watch.options(),
    });
    await using _watched = await watch.of("vhost-user", () => ({ [name!]: served.figures! }));
    // As programs find it that were started elsewhere.
    const socket = absolutePath(where);
    const qemu = [...sharedMemory(), ...vhostUser.qemu(socket, chosen.queues)];
    if (options.json) {
      printJson(context, "serve", { sockets: { [String(name)]: socket }, lies: chosen.lies, qemu });
    } else {
      context.talk(`Serving ${name} at ${socket} until Ctrl-C. QEMU needs:`);
      io.out(shellLine(qemu));
      if (vhostUser.note !== undefined) context.talk(vhostUser.note);
    }
    const why = await Promise.race([served.ended, untilEnded(signal)]);
    if (signal.aborted) {
      if (!endedByPerson(signal)) throw signal.reason;
      return EXIT.done;
    }
    if (why !== undefined) {
      throw new CliError(EXIT.failed, `The machine had to leave: ${why}`);
    }
    return EXIT.done;
  },
};
