import { identityOfOpen } from "../core/linux/file_kind.ts";
import { type ForeignMemory, openForeign, UnfitMemory } from "../core/linux/foreign_memory.ts";

const PAGE = 4096;
/** The most files that a client's memory is made of. */
const MOST_FILES = 32;

/** The memory files of a client: each is mapped once and whole, whatever of it the device may reach. */
export class ClientMemory implements Disposable {
  readonly #files = new Map<string, ForeignMemory>();

  /**
   * The memory behind a descriptor, which stays the caller's.
   *
   * @throws {UnfitMemory} If it cannot be used.
   */
  file(descriptor: number): ForeignMemory {
    const known = this.#files.get(identityOfOpen(descriptor).id);
    if (known) return known;
    if (this.#files.size === MOST_FILES) {
      throw new UnfitMemory(`The memory consists of more than ${MOST_FILES} files`);
    }
    const file = openForeign(descriptor);
    this.#files.set(file.id, file);
    file.show(0, Math.ceil(file.size / PAGE) * PAGE);
    return file;
  }

  /** Gives all of it back: what remembers a place in it finds zeroes there. */
  [Symbol.dispose](): void {
    for (const file of this.#files.values()) file.release();
    this.#files.clear();
  }
}
