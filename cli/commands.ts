import type { Command, CommandOption } from "./command.ts";
import { balloonInfo } from "./commands/balloon/info.ts";
import { balloonWatch } from "./commands/balloon/watch.ts";
import { bind } from "./commands/bind.ts";
import { blkBench } from "./commands/blk/bench.ts";
import { blkCopy } from "./commands/blk/copy.ts";
import { blkDiscard } from "./commands/blk/discard.ts";
import { blkInfo } from "./commands/blk/info.ts";
import { blkRead } from "./commands/blk/read.ts";
import { blkServe } from "./commands/blk/serve.ts";
import { blkWrite } from "./commands/blk/write.ts";
import { check } from "./commands/check.ts";
import { completions } from "./commands/completions.ts";
import { conformDevice } from "./commands/conform/device.ts";
import { consoleAttach } from "./commands/console/attach.ts";
import { consoleList } from "./commands/console/list.ts";
import { consolePipe } from "./commands/console/pipe.ts";
import { conformDriver } from "./commands/conform/driver.ts";
import { doctor } from "./commands/doctor.ts";
import { drivers } from "./commands/drivers.ts";
import { explain } from "./commands/explain.ts";
import { help } from "./commands/help.ts";
import { ls } from "./commands/ls.ts";
import { bench as netBench } from "./commands/net/bench.ts";
import { bridge as netBridge } from "./commands/net/bridge.ts";
import { dump as netDump } from "./commands/net/dump.ts";
import { netInfo } from "./commands/net/info.ts";
import { ping as netPing } from "./commands/net/ping.ts";
import { inquiry as scsiInquiry } from "./commands/scsi/inquiry.ts";
import { list as scsiList } from "./commands/scsi/list.ts";
import { raw as scsiRaw } from "./commands/scsi/raw.ts";
import { random } from "./commands/random.ts";
import { newDriver } from "./commands/new.ts";
import { serve } from "./commands/serve.ts";
import { hosts } from "./commands/hosts.ts";
import { show } from "./commands/show.ts";
import { top } from "./commands/top.ts";
import { unbind } from "./commands/unbind.ts";

/** All commands, in the order in which help lists them. */
export const COMMANDS: readonly Command[] = [
  ls,
  show,
  check,
  top,
  hosts,
  conformDevice,
  drivers,
  explain,
  doctor,
  bind,
  unbind,
  netInfo,
  netPing,
  netDump,
  netBridge,
  netBench,
  consoleList,
  consoleAttach,
  consolePipe,
  balloonInfo,
  balloonWatch,
  scsiList,
  scsiInquiry,
  scsiRaw,
  blkInfo,
  blkRead,
  blkWrite,
  blkCopy,
  blkDiscard,
  blkServe,
  blkBench,
  random,
  serve,
  newDriver,
  conformDriver,
  completions,
  help,
];

/** All options that some of them have, each once. */
export const OWN_OPTIONS: readonly CommandOption[] = [
  ...new Map(
    COMMANDS.flatMap(({ options = [] }) => options).map((option) => [option.name, option]),
  ).values(),
];
