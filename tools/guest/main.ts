/**
 * Runs jobs in a guest and prints what it says: `deno task guest <machine> [job...]`. Without a job there is a shell.
 *
 * @module
 */

import { MACHINES } from "../../tests/guest/machines.ts";
import { GuestRunner } from "./boot.ts";

const [name, ...jobs] = Deno.args;
const machine = MACHINES.find((each) => each.name === name);
if (!machine) {
  console.error(`wanted one of these machines: ${MACHINES.map((each) => each.name).join(", ")}`);
  Deno.exit(2);
}
await using runner = await GuestRunner.open();
if (jobs.length > 0) {
  for await (const [line] of runner.boot(machine, jobs)) console.log(line);
} else await runner.shell(machine);
