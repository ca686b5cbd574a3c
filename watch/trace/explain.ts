import type { Told } from "../../core/trace/event.ts";

/** Why a `Status` of a request is what it is. */
const STATUS = ["ok", "failed", "unsupported", "invalid", "gone", "unknown", "refused"];
const LONGEST_BODY = 400;

/** What an event says to people. */
export interface Explained {
  /** One line. */
  readonly what: string;
  /** The section of virtio 1.4 that tells of it. */
  readonly section?: string;
}

/** Puts an event into words. */
export function explain(event: Told): Explained {
  switch (event.kind) {
    case "state":
      return { what: `is ${event.state}${event.why === undefined ? "" : `: ${event.why}`}` };
    case "register": {
      const { access, window, offset, width, value, name, meaning, section } = event;
      const place = name ?? `0x${offset.toString(16)}`;
      const number = `0x${value.toString(16).padStart(2 * width, "0")}`;
      return {
        what: `${access === "write" ? "writes" : "reads"} ${window}.${place} = ${number}` +
          (meaning === undefined ? "" : `: ${meaning}`),
        ...(section !== undefined && { section }),
      };
    }
    case "message": {
      const body = JSON.stringify(event.body);
      const said = body === "{}" ? "" : ` ${body.slice(0, LONGEST_BODY)}`;
      const rest = body.length > LONGEST_BODY ? "..." : "";
      return { what: `says "${event.type}"${said}${rest}` };
    }
    case "ring":
      return {
        what: `${event.queue}: finds a ${event.layout} ring of ${event.size} entries`,
        section: event.layout === "split" ? "2.7" : "2.8",
      };
    case "request": {
      const { queue, number, cookie, id, indirect, descriptors } = event;
      const chain = descriptors.map(({ slot, address, bytes, write }) =>
        `[${slot}] ${bytes} bytes at ${address} ${write ? "to write" : "to read"}`
      );
      const whose = event.by === "device"
        ? `takes request ${number}`
        : `request ${number} of slot ${cookie}`;
      return {
        what: `${queue}: ${whose}, id ${id}${indirect ? ", by a table" : ""}: ${chain.join(", ")}`,
        section: indirect ? "2.7.5.3" : "2.6",
      };
    }
    case "publish":
      return {
        what: `${event.queue}: makes ${event.requests} ${
          event.requests === 1 ? "request" : "requests"
        } available`,
        section: "2.6",
      };
    case "used":
      return {
        what: event.number === 0
          ? `${event.queue}: uses id ${event.cookie}, which it does not have`
          : event.by === "device"
          ? `${event.queue}: uses request ${event.number}, ${event.written} bytes written`
          : `${event.queue}: finds request ${event.number} of slot ${event.cookie} used, ` +
            `${event.written} bytes written`,
        section: "2.6",
      };
    case "doorbell":
      return { what: `${event.queue}: notifies the device`, section: "4.1.5.2" };
    case "interrupt":
      return event.by === "device"
        ? { what: `interrupts by ${event.source}`, section: "4.1.5.3" }
        : { what: `hears ${event.source}`, section: "4.1.5.3" };
    case "lane": {
      const { step, lane, slot, words } = event;
      if (step === "submit" || step === "take") {
        const [operation, length, ...more] = words;
        return {
          what: `lane ${lane}: ${step}s slot ${slot}: operation ${operation}, ${length} bytes, ${
            more.join(" ")
          }`,
        };
      }
      const [status, length] = words;
      const how = STATUS[status!] ?? `status ${status}`;
      return {
        what: `lane ${lane}: slot ${slot} ${
          step === "end" ? "ended" : "is complete"
        }: ${how}, ${length} bytes`,
      };
    }
    case "check": {
      const { step, name, verdict, why, section } = event;
      const end = `${name}: ${verdict}${why === undefined ? "" : `, ${why}`}`;
      return {
        what: step === "begin" ? `checks ${name}` : end,
        ...(section !== undefined && { section }),
      };
    }
    case "clock":
      return {
        what: `its times are right within ${(event.uncertainty * 1000).toFixed(1)} microseconds`,
      };
    case "lost":
      return { what: `${event.count} events are lost: ${event.why}` };
  }
}
