/** Lets other work of the process run in the middle of a long loop. No state. */

/** Resolves after the events that already wait were handled: sockets are read and answers written in between. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
