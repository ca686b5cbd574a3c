import type { BlockDevice } from "../../../classes/block/mod.ts";
import { absolutePath } from "../../../core/linux/mod.ts";
import { NbdServer, nbdUri, type ServeOptions } from "../../../nbd/mod.ts";
import type { Command } from "../../command.ts";
import { DISK_OPTIONS, keepsDisks, useDrive, WRITE_OPTION } from "../../disk.ts";
import { CliError, endedByPerson, EXIT, messageOf, untilEnded, usageError } from "../../exit.ts";
import { goneError } from "../../gone.ts";
import { printDeviceJson } from "../../json.ts";

/** Serves a disk to other programs. */
export const blkServe: Command = {
  name: "blk serve",
  summary: "Serve a disk to other programs by NBD",
  usage: "",
  words: [0, 0],
  standing: true,
  options: [
    ...DISK_OPTIONS,
    { name: "nbd", value: "<socket>", summary: "the path of the Unix socket to listen at" },
    { name: "name", value: "<name>", summary: 'the name of the export, besides "" (disk)' },
    { name: "read-only", summary: "clients must not write" },
    WRITE_OPTION,
  ],
  examples: [
    ["blk serve --nbd /tmp/disk.sock --machine qemu", "until Ctrl-C"],
  ],
  notes: [
    'Meanwhile, elsewhere: nbdinfo "nbd+unix:///?socket=/tmp/disk.sock"',
    "",
    "A user who may open the socket may use the disk. Many clients may at once: a flush of one makes durable what",
    "all have written. On this machine (local, vhost-user) clients may only read, unless --write. Requests are in whole blocks",
    "of the disk. When a medium is exchanged, clients get errors until they connect again. At its end the socket",
    "goes away; one that a server has left behind is taken over.",
  ],
  async run(context) {
    const { given, signal, options } = context;
    const { nbd, name = "disk" } = given;
    if (typeof nbd !== "string") throw usageError("Cannot serve without --nbd <socket>");
    await using use = await useDrive(context);
    const { kernel, device, disk } = use;
    const held = keepsDisks(kernel) && given.write !== true;
    const readOnly = given["read-only"] === true || held;
    if (held && !disk.readOnly) {
      context.talk("Clients may only read: add --write to let them write");
    }
    // As programs find it that were started elsewhere.
    const uri = nbdUri(String(name), absolutePath(nbd));
    {
      using _server = serve(disk, {
        socket: nbd,
        loop: kernel.loop,
        name: String(name),
        readOnly,
        log: context.detail,
      });
      if (options.json) {
        printDeviceJson(context, "blk serve", use, { uri, readOnly: readOnly || disk.readOnly });
      } else context.talk(`Serving ${device.address} at ${uri} until Ctrl-C`);
      await Promise.race([untilEnded(signal), device.gone]);
    }
    if (!signal.aborted) throw await goneError(context, device);
    // Of all that was answered, now that nothing more is.
    if (!disk.readOnly && !readOnly) await disk.flush();
    if (!endedByPerson(signal)) throw signal.reason;
    return EXIT.done;
  },
};

function serve(disk: BlockDevice, options: ServeOptions): NbdServer {
  try {
    return new NbdServer(disk, options);
  } catch (error) {
    if (error instanceof RangeError) throw usageError(error.message);
    if ((error as { readonly code?: unknown }).code !== "ENOENT") throw error;
    // A folder that is not there is no device that is not there.
    throw new CliError(EXIT.failed, messageOf(error), { cause: error });
  }
}
