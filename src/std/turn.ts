/** Lets other work of the process run in the middle of a long loop. No state. */

/** Resolves after the events that already wait were handled: sockets are read and answers written in between. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Runs a computation that yields where it may be held up; one step a turn. */
export async function inTurns<T>(steps: Generator<undefined, T>): Promise<T> {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
    await nextTurn()
  }
}
