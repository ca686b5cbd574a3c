import {
  argument,
  type Feed,
  type Lanes,
  listen,
  News,
  type OpenClient,
  RequestError,
  Status,
} from "../../core/class/mod.ts";
import { ScsiControl, type ScsiProperties, ScsiResponse } from "./protocol.ts";
import { addressWord, checkAddress, formatScsiAddress, type ScsiAddress } from "./address.ts";
import type { ScsiAnswer } from "./answer.ts";
import { inquiry, modeSense6, testUnitReady } from "./cdb.ts";
import { type CommandOptions, ScsiCommands } from "./commands.ts";
import { ScsiDisk } from "./disk.ts";
import { ScsiError } from "./error.ts";
import { EventCode, parseEvent, type RawEvent, ResetReason, type ScsiChange } from "./event.ts";
import { INQUIRY_BYTES, parseInquiry, type ScsiInquiry } from "./inquiry.ts";
import { isWithoutMedium } from "./media.ts";
import { MODE_BYTES, modePage } from "./mode.ts";
import { lookAt, scanHost, scanTarget, type ScsiUnit } from "./scan.ts";
import type { ScsiSense } from "./sense.ts";
import { type ControlAnswer, TaskManagement } from "./task_management.ts";
import { VPD_BYTES, vpdBody, VpdPage } from "./vpd.ts";

type ScsiLanes = Lanes<"requests" | "control" | "events">;

/** Task management functions for a unit or a target. */
export type TaskFunction = Exclude<
  keyof typeof ScsiControl,
  "abortTask" | "queryTask" | "queryNotifications" | "subscribeNotifications"
>;

const TASK_FUNCTIONS = [
  "abortTaskSet",
  "clearAca",
  "clearTaskSet",
  "nexusReset",
  "unitReset",
  "queryTaskSet",
] as const satisfies readonly TaskFunction[];

const MISSED: ScsiChange = { type: "missed" };
/** The least time between two scans that events ask for, in milliseconds: a flood of them costs no more. */
const RESCAN_PAUSE = 100;

/** An application's view of a SCSI host: its logical units, and what happens to them. */
export class ScsiClient {
  readonly #commands: ScsiCommands;
  readonly #manager: TaskManagement;
  readonly #news = new News<ScsiChange>("ScsiClient.changes", { missed: MISSED });
  readonly #disks = new Map<string, Promise<ScsiDisk>>();
  /** The units that are known, by target and LUN; none before the first scan. */
  #units: Map<string, ScsiUnit> | undefined;
  /** Targets to look at again. */
  readonly #stale = new Set<number>();
  #rescanning = false;
  /** Ends the pause between two scans. */
  #hasten: (() => void) | undefined;
  #gone = false;
  readonly #properties: ScsiProperties;

  /** Makes the client of a host; for the class. */
  static open(lanes: ScsiLanes, properties: ScsiProperties): OpenClient<ScsiClient> {
    const client = new ScsiClient(lanes, properties);
    return { client, restarted: () => client.#restarted(), gone: () => client.#end() };
  }

  private constructor({ requests, control, events }: ScsiLanes, properties: ScsiProperties) {
    this.#properties = properties;
    this.#manager = new TaskManagement(control);
    this.#commands = new ScsiCommands(
      requests,
      this.#manager,
      properties,
      (address, sense) => this.#attention(address, sense),
    );
    listen(events, (slot) => this.#hear(parseEvent(events, slot)));
  }

  /** The greatest target. */
  get maxTarget(): number {
    return this.#properties.maxTarget;
  }

  /** Whether the device tells of units that come and go. */
  get hotplug(): boolean {
    return this.#properties.hotplug;
  }

  /** Most bytes of data that one command may carry. */
  get dataBytes(): number {
    return this.#commands.dataBytes;
  }

  /** Milliseconds that a command may take before it is aborted, unless it says otherwise; 10000 at first. */
  get timeout(): number {
    return this.#commands.timeout;
  }

  set timeout(milliseconds: number) {
    const where = "ScsiClient.timeout";
    this.#commands.timeout = argument.milliseconds(milliseconds, where, "milliseconds", 1);
  }

  /** Commands whose time was over. */
  get timeouts(): number {
    return this.#commands.flights.timeouts;
  }

  #restarted(): void {
    this.#commands.flights.restarted();
    this.#manager.restarted();
    // Events that the device had to tell are lost.
    this.#miss();
  }

  /** All logical units, found by REPORT LUNS and INQUIRY on each target; 256 at most. */
  async scan(): Promise<readonly ScsiUnit[]> {
    const units = await scanHost(this.#commands, this.maxTarget);
    const known = new Map(units.map((unit) => [formatScsiAddress(unit.address), unit]));
    if (this.#units) this.#compare(this.#units, known);
    this.#units = known;
    return units;
  }

  /**
   * What a unit says that it is.
   *
   * @throws ScsiError If it is not there.
   */
  async inquiry(address: ScsiAddress): Promise<ScsiInquiry> {
    checkAddress(address, "ScsiClient.inquiry");
    const action = "Cannot read the inquiry data";
    const answer = await this.#commands.perform(action, address, inquiry(INQUIRY_BYTES), {
      inBytes: INQUIRY_BYTES,
      repeatable: true,
    });
    const said = parseInquiry(answer.data);
    if (said?.qualifier === 0) return said;
    // A target answers for units that it does not have.
    const response = said ? ScsiResponse.incorrectLun : ScsiResponse.ok;
    const status = said ? Status.failed : Status.invalid;
    throw new ScsiError(action, address, status, { ...answer, response, ended: status });
  }

  /** The body of a page of a unit's vital product data; undefined if it has no such page. */
  async vpd(address: ScsiAddress, page: number): Promise<Uint8Array | undefined> {
    checkAddress(address, "ScsiClient.vpd");
    argument.integer(page, "ScsiClient.vpd", "page", 0, 255);
    if (page !== VpdPage.supported) {
      const pages = await this.#page(address, VpdPage.supported);
      if (!pages?.includes(page)) return undefined;
    }
    return await this.#page(address, page);
  }

  async #page(address: ScsiAddress, page: number): Promise<Uint8Array | undefined> {
    try {
      const { data } = await this.#commands.perform(
        `Cannot read page 0x${page.toString(16)} of the vital product data`,
        address,
        inquiry(VPD_BYTES, page),
        { inBytes: VPD_BYTES, repeatable: true },
      );
      return vpdBody(data, page);
    } catch (error) {
      // A unit that does not know of pages says so.
      if (error instanceof ScsiError && error.sense) return undefined;
      throw error;
    }
  }

  /** A page of a unit's modes, head and all; undefined if it has no such page. */
  async mode(address: ScsiAddress, page: number): Promise<Uint8Array | undefined> {
    checkAddress(address, "ScsiClient.mode");
    argument.integer(page, "ScsiClient.mode", "page", 0, 63);
    try {
      const action = `Cannot read the mode page 0x${page.toString(16)}`;
      const options = { inBytes: MODE_BYTES, repeatable: true };
      const cdb = modeSense6(page, MODE_BYTES);
      const { data } = await this.#commands.perform(action, address, cdb, options);
      return modePage(data, page);
    } catch (error) {
      // A unit that does not know of modes says so.
      if (error instanceof ScsiError && error.sense) return undefined;
      throw error;
    }
  }

  /**
   * A unit as a disk, with the medium that is in it now: all that takes disks takes this one.
   *
   * @throws ScsiError If the unit is not there, or is neither disk nor CD-ROM.
   */
  async disk(address: ScsiAddress): Promise<ScsiDisk> {
    const unit = checkAddress(address, "ScsiClient.disk");
    const key = formatScsiAddress(unit);
    const known = this.#disks.get(key);
    if (known) {
      const disk = await known;
      // One that stands for a medium that is gone stays with those that have it.
      if (!disk.exchanged) return disk;
      if (this.#disks.get(key) !== known) return await this.disk(unit);
    }
    const opening = this.#open(unit);
    this.#disks.set(key, opening);
    try {
      return await opening;
    } catch (error) {
      if (this.#disks.get(key) === opening) this.#disks.delete(key);
      throw error;
    }
  }

  async #open(address: ScsiAddress): Promise<ScsiDisk> {
    const said = await this.inquiry(address);
    if (!ScsiDisk.fits(said)) {
      throw new TypeError(
        `Cannot use unit ${formatScsiAddress(address)} as a disk: it is of type ${said.typeName}`,
      );
    }
    const disk = new ScsiDisk(address, said, {
      commands: this.#commands,
      vpd: (page) => this.vpd(address, page),
    });
    await disk.open();
    return disk;
  }

  /** Whether a unit is ready; otherwise the error says why not. */
  async ready(address: ScsiAddress): Promise<void> {
    checkAddress(address, "ScsiClient.ready");
    await this.#commands.perform("Cannot find the unit ready", address, testUnitReady(), {
      repeatable: true,
    });
  }

  /**
   * Puts a command to a unit, whatever it is, and tells what came of it. It is done once, unless `repeatable`: where
   * the device must be started anew meanwhile, the answer says that it is unknown whether it was done.
   *
   * @throws RangeError If it is larger than what fits.
   * @throws TypeError If an argument is of the wrong kind, or a buffer is transferred or resized meanwhile.
   */
  execute(
    address: ScsiAddress,
    cdb: Uint8Array,
    options: CommandOptions = {},
  ): Promise<ScsiAnswer> {
    return this.#commands.execute(address, cdb, options);
  }

  /**
   * Carries out a task management function.
   *
   * @returns Whether what it asks for is so, for `queryTaskSet`; true for the others.
   * @throws RequestError If the device did not do it.
   */
  async manage(what: TaskFunction, address: ScsiAddress): Promise<boolean> {
    argument.word(what, "ScsiClient.manage", "what", TASK_FUNCTIONS);
    const word = addressWord(checkAddress(address, "ScsiClient.manage"));
    const answer = await this.#manager.request(ScsiControl[what], word);
    const { response } = answer;
    if (answer.ended === Status.ok) {
      if (response === ScsiResponse.functionSucceeded) return true;
      if (response === ScsiResponse.ok) return what !== "queryTaskSet";
    }
    throw managementError(`Cannot carry out ${what}`, address, answer);
  }

  /** Which of these notifications a unit has, as bits (virtio 1.4, 5.6.6.2). */
  async notifications(address: ScsiAddress, wanted: number): Promise<number> {
    return await this.#notify("queryNotifications", "ScsiClient.notifications", address, wanted);
  }

  /**
   * Asks a unit for notifications, and again when the device was started anew; they come as changes.
   *
   * @returns Those that it has.
   */
  async subscribe(address: ScsiAddress, wanted: number): Promise<number> {
    return await this.#notify("subscribeNotifications", "ScsiClient.subscribe", address, wanted);
  }

  async #notify(
    what: "queryNotifications" | "subscribeNotifications",
    where: string,
    address: ScsiAddress,
    wanted: number,
  ): Promise<number> {
    const unit = checkAddress(address, where);
    const word = addressWord(unit);
    argument.integer(wanted, where, "wanted", 0, 2 ** 32 - 1);
    const answer = what === "subscribeNotifications"
      ? await this.#manager.subscribe(word, wanted, `unit ${formatScsiAddress(unit)}`)
      : await this.#manager.request(ScsiControl[what], word, wanted);
    if (answer.ended === Status.ok && answer.response === ScsiResponse.ok) {
      return (answer.notifications & wanted) >>> 0;
    }
    throw managementError(`Cannot carry out ${what}`, unit, answer);
  }

  /** What happens from now on, until the device is gone or `signal` is aborted. */
  changes(signal?: AbortSignal): Feed<ScsiChange> {
    return this.#news.feed({ signal });
  }

  #end(): void {
    this.#gone = true;
    this.#commands.flights.stop();
    this.#hasten?.();
    this.#news.end();
  }

  #hear({ missed, event, address, reason }: RawEvent): void {
    if (missed) this.#miss();
    switch (event) {
      case EventCode.transportReset:
        return this.#hearReset(address, reason);
      case EventCode.asyncNotify:
        this.#news.tell({ type: "notified", address, notifications: reason });
        return this.#refresh(address);
      case EventCode.paramChange: {
        const [asc, ascq] = [reason & 0xff, reason >>> 8 & 0xff];
        this.#news.tell({ type: "changed", address, asc, ascq });
        return this.#refresh(address);
      }
    }
  }

  #hearReset(address: ScsiAddress, reason: number): void {
    if (reason === ResetReason.hard) {
      this.#news.tell({ type: "reset", address });
      return this.#refresh(address);
    }
    if (reason === ResetReason.removed) this.#remove(address);
    else if (!this.#units) this.#news.tell({ type: "added", address });
    // For LUN 0 it may be about the whole target (virtio 1.4, 5.6.6.3).
    if (reason === ResetReason.rescan || address.lun === 0) this.#rescan([address.target]);
  }

  #remove(address: ScsiAddress): void {
    const key = formatScsiAddress(address);
    this.#units?.delete(key);
    this.#disks.delete(key);
    this.#manager.unsubscribe(addressWord(address));
    this.#commands.flights.lose(addressWord(address));
    this.#news.tell({ type: "removed", address });
  }

  /** Anything may have happened. */
  #miss(): void {
    this.#news.tell(MISSED);
    const targets = Array.from({ length: this.maxTarget + 1 }, (_, target) => target);
    this.#rescan(targets);
    for (const opening of this.#disks.values()) {
      opening.then((disk) => this.#refresh(disk.address), () => {});
    }
  }

  /** A command met a unit attention: the device says what happened also in this way. */
  #attention(address: ScsiAddress, sense: ScsiSense): void {
    const { asc, ascq } = sense;
    if (asc === 0x28 || isWithoutMedium(sense)) {
      this.#news.tell({ type: "medium", address });
      this.#refresh(address);
    } else if (asc === 0x2a) {
      this.#news.tell({ type: "changed", address, asc, ascq });
      this.#refresh(address);
    } else if (asc === 0x3f && ascq === 0x0e) this.#rescan([address.target]);
    // A unit that was reset does not tell any more that its medium was exchanged before.
    else if (asc === 0x29) this.#refresh(address, ({ inquiry }) => inquiry.removable);
  }

  /** Looks again at a disk, if the application uses it, and one of those that are meant. */
  #refresh(address: ScsiAddress, meant: (disk: ScsiDisk) => boolean = () => true): void {
    const opening = this.#disks.get(formatScsiAddress(address));
    // What fails is found by the next use of it.
    opening?.then((disk) => meant(disk) ? disk.learn() : undefined).catch(() => {});
  }

  /** Looks again at targets whose units are known; a flood of wishes is granted once. */
  #rescan(targets: readonly number[]): void {
    for (const target of targets) this.#stale.add(target);
    if (this.#rescanning || this.#gone) return;
    this.#rescanning = true;
    void this.#scanStale().finally(() => this.#rescanning = false);
  }

  async #scanStale(): Promise<void> {
    while (this.#stale.size > 0 && !this.#gone) {
      const targets = [...this.#stale];
      this.#stale.clear();
      const known = this.#units;
      if (!known) continue;
      const found = await Promise.all(targets.map((target) => this.#look(target, known)));
      // If the device is gone, it is unknown what is there.
      if (this.#gone) return;
      const now = new Map(
        [...known].filter(([, { address }]) => !targets.includes(address.target)),
      );
      for (const unit of found.flat()) now.set(formatScsiAddress(unit.address), unit);
      this.#units = now;
      this.#compare(known, now);
      await this.#rest();
    }
  }

  /** A pause between two scans, which ends with the device. */
  #rest(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, RESCAN_PAUSE);
      this.#hasten = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #look(target: number, known: ReadonlyMap<string, ScsiUnit>): Promise<ScsiUnit[]> {
    const found = await scanTarget(this.#commands, target);
    // A unit that a list leaves out may be there all the same.
    const listed = new Set(found.map(({ address }) => address.lun));
    const left = [...known.values()].map(({ address }) => address)
      .filter((address) => address.target === target && !listed.has(address.lun));
    const more = await Promise.all(left.map((address) => lookAt(this.#commands, address)));
    return [...found, ...more.filter((unit) => unit !== undefined)];
  }

  #compare(
    before: ReadonlyMap<string, ScsiUnit>,
    now: ReadonlyMap<string, ScsiUnit>,
  ): void {
    for (const [key, { address }] of before) if (!now.has(key)) this.#remove(address);
    for (const [key, { address }] of now) {
      if (!before.has(key)) this.#news.tell({ type: "added", address });
    }
  }
}

const REFUSALS: Readonly<Record<number, string>> = {
  [ScsiResponse.badTarget]: "there is no such target",
  [ScsiResponse.incorrectLun]: "there is no such unit",
  [ScsiResponse.functionRejected]: "the device does not know this function",
  [ScsiResponse.busy]: "the device is busy",
};

function managementError(
  action: string,
  address: ScsiAddress,
  { ended, response }: ControlAnswer,
): RequestError {
  const what = `${action} for unit ${formatScsiAddress(address)}`;
  if (ended !== Status.ok) return new RequestError(what, ended);
  const unknown = response === ScsiResponse.functionRejected;
  const status = unknown ? Status.unsupported : Status.failed;
  return new RequestError(what, status, REFUSALS[response]);
}
