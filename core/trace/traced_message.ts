import type { FromDriver, ToDriver } from "../bus/message.ts";
import type { Told } from "./event.ts";

/** A message of the bus, as it is told. */
export function tracedMessage(by: "core" | "driver", message: ToDriver | FromDriver): Told {
  const { type, ...body } = message;
  return { kind: "message", by, type, body };
}
