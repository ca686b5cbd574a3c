import { type ScsiSense, SenseKey } from "./sense.ts";

/** Additional sense codes: not ready; the medium may have changed; medium not present. */
const NOT_READY = 0x04, MAY_HAVE_CHANGED = 0x28, NOT_PRESENT = 0x3a;
/** Qualifier of the first: until a person does something. QEMU says so of a disk of no blocks, as its size cannot be said. */
const BY_HAND = 0x03;

/** Whether sense data say that there is no medium. */
export function isWithoutMedium(sense: ScsiSense | undefined): boolean {
  return sense?.asc === NOT_PRESENT || sense?.asc === NOT_READY && sense.ascq === BY_HAND;
}

/** Whether a unit attention is about the medium. */
export function isAboutMedium({ key, asc }: ScsiSense): boolean {
  return key === SenseKey.unitAttention && (asc === MAY_HAVE_CHANGED || asc === NOT_PRESENT);
}

interface Medium {
  /** How many were noticed before it. */
  generation: number;
  /** Whether it is known that there is none. */
  absent: boolean;
}

/**
 * Which medium each unit has, by its address as a word. A drive tells of an exchange once, in the answer to whichever
 * command comes next; so all sense data are looked at here, at once when they come.
 */
export class Media {
  readonly #known = new Map<number, Medium>();

  /** How many media a unit had before the one that it has now, as far as that was noticed. */
  generation(address: number): number {
    return this.#known.get(address)?.generation ?? 0;
  }

  /** Whether it is known that a unit has none. */
  isAbsent(address: number): boolean {
    return this.#known.get(address)?.absent ?? false;
  }

  /** Looks at the sense data of an answer. Returns whether they tell of an exchange, or that the medium was taken out. */
  look(address: number, sense: ScsiSense): boolean {
    const absent = isWithoutMedium(sense);
    const gone = absent && sense.key === SenseKey.notReady && !this.isAbsent(address);
    if (!gone && !isAboutMedium(sense)) return false;
    this.exchanged(address, absent);
    return true;
  }

  /** The medium of a unit is another one, or there is none. */
  exchanged(address: number, absent: boolean): void {
    this.#known.set(address, { generation: this.generation(address) + 1, absent });
  }

  /** There is a medium in a unit: what is known of it was asked for. */
  present(address: number): void {
    const medium = this.#known.get(address);
    if (medium) medium.absent = false;
  }
}
