/**
 * Assertions for our own bugs. User input never reaches one: it is validated at the edge and answered with a
 * `RefoldError`. No state.
 */

export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** Throws when `condition` is false; `message` says what was believed to be true. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}

/** Narrows away null and undefined where the code's own invariant rules them out. */
export function must<T>(value: T | null | undefined, message: string): T {
  if (value === null || value === undefined) throw new AssertionError(message)
  return value
}

/** Ends every `switch` on a `kind`: a new kind that nobody handled does not compile. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`)
}
