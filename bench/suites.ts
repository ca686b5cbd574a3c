import type { Suite } from "./suite.ts";
import { blk } from "./suites/blk.ts";
import { consoles } from "./suites/console.ts";
import { growth } from "./suites/growth.ts";
import { nbd } from "./suites/nbd.ts";
import { net } from "./suites/net.ts";
import { recover } from "./suites/recover.ts";
import { ring } from "./suites/ring.ts";
import { scsi } from "./suites/scsi.ts";
import { start } from "./suites/start.ts";

/** All suites, in the order in which they are measured. */
export const SUITES: readonly Suite[] = [
  ring,
  blk,
  net,
  scsi,
  consoles,
  nbd,
  start,
  recover,
  growth,
];
