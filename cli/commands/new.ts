import deno from "../../deno.json" with { type: "json" };
import type { Command } from "../command.ts";
import { EXIT, usageError } from "../exit.ts";
import { printJson } from "../json.ts";
import { driverFiles } from "../new/files.ts";
import { suggest } from "../suggest.ts";

/** What plugin.json takes as a name, short enough for a folder. */
const NAME = /^[a-z][a-z0-9-]{0,62}$/;
const BUSES = ["virtio", "pci"] as const;
/** Classes of ours that ask more of a driver than a few lines answer. */
const LARGE = ["balloon", "block", "console", "network", "scsi"];
/** The root of the project, or of its package. */
const ROOT = new URL("../../", import.meta.url);

/** Makes the folder of a driver. */
export const newDriver: Command = {
  name: "new",
  summary: "Write a driver with its model and tests, to begin with",
  usage: "<name>",
  words: [1, 1],
  idle: "It writes files",
  options: [
    { name: "bus", value: "<virtio|pci>", summary: "what kind of devices it drives (virtio)" },
  ],
  examples: [
    ["new mine", "a driver of a VirtIO device, in the folder mine"],
    ["new mine --bus pci", "of any other PCI device: registers and an interrupt"],
    ["new mine --class entropy", "one whose device is a source of random bytes to applications"],
  ],
  notes: [
    "The folder is made in this one; it must not be there, or be empty. What is written works: in the folder, deno task test",
    "runs its tests, and deno task conform does what conform driver does.",
    "",
    "--class says here what the device is to an application: the name of a class. Without, or with another name than entropy,",
    "the class is written, too.",
  ],
  async run(context) {
    const { io, options, words, given } = context;
    const name = nameOf("a driver", words[0]!);
    const wanted = given.bus ?? "virtio";
    const bus = BUSES.find((each) => each === wanted);
    if (!bus) {
      throw usageError(
        `Unknown value ${JSON.stringify(wanted)} for --bus: wanted one of ${BUSES.join(", ")}.` +
          suggest(String(wanted), BUSES),
      );
    }
    const kind = nameOf("a class", options.classes[0] ?? name);
    if (LARGE.includes(kind) || kind === "entropy" && bus === "pci") {
      throw usageError(
        `Cannot write a driver of the class ${kind}: it asks more than a few lines; ` +
          "take one of ours to begin with (plugins), or leave --class out",
      );
    }
    const files = driverFiles({ name, bus, class: kind, root: ROOT, version: deno.version });
    await io.system.writeFolder(name, files);
    if (options.json) printJson(context, "new", { folder: name, files: Object.keys(files) });
    else {
      for (const file of Object.keys(files)) io.out(`${name}/${file}`);
      context.talk(`Now: cd ${name} && deno task test && deno task conform`);
    }
    return EXIT.done;
  },
};

function nameOf(what: string, name: string): string {
  if (NAME.test(name)) return name;
  throw usageError(
    `Cannot name ${what} ${
      JSON.stringify(name)
    }: wanted lower-case letters, digits and hyphens, a letter first, at most 63`,
  );
}
