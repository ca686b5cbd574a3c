/**
 * QEMU's arguments for memory that devices of ours reach, too.
 *
 * @param board Its board; its usual one if left out.
 */
export function sharedMemory(board?: string): readonly string[] {
  const machine = [...(board === undefined ? [] : [board]), "memory-backend=memory"];
  return [
    ...["-m", "1G", "-object", "memory-backend-memfd,id=memory,size=1G,share=on"],
    ...["-machine", machine.join()],
  ];
}

/** Arguments as a line for a shell. */
export function shellLine(words: readonly string[]): string {
  return words.map(quoted).join(" ");
}

/** As a shell takes it for one word. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
