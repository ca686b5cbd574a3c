import type { Command } from "./command.ts";
import { check } from "./commands/check.ts";
import { drivers } from "./commands/drivers.ts";
import { explain } from "./commands/explain.ts";
import { ls } from "./commands/ls.ts";
import { show } from "./commands/show.ts";

/** All commands, in the order in which help lists them. */
export const COMMANDS: readonly Command[] = [ls, show, check, drivers, explain];
