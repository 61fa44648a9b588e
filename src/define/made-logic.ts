/**
 * What `fn()` and `fold()` made in this process, in order, so that logic is found by the file in which it was called,
 * whether or not that file exports it. State: the list, which only grows; a process loads few files.
 */

interface Made {
  readonly kind: string
  readonly name: string
  readonly calledAt: string
}

const made: Made[] = []

export function noteLogic<Spec extends Made>(spec: Spec): Spec {
  made.push(spec)
  return spec
}

/** What was made since `from` (a count), the last of a name and kind last. */
export function madeLogic(from = 0): readonly Made[] {
  return made.slice(from)
}

export function madeCount(): number {
  return made.length
}
