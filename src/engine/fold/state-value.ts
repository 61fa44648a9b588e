/**
 * What a fold's state may be: JSON, and nothing that JSON would change on its way to disk and back, because a state
 * that was read from a slice has to act as the one that was kept in memory. No state of its own.
 *
 * A property with the value undefined is taken out, as JSON does; -0 becomes 0. All else that is no JSON is refused.
 */

const DEPTH_MAX = 64

export class StateFault extends Error {
  override readonly name = 'StateFault'
}

/** Checks a state and brings it into the form that it has after a restart. Throws StateFault. */
export function checkState(state: unknown): void {
  if (isFlat(state)) {
    if (Object.is(state, -0)) throw new StateFault('the state is -0: write 0')
    return
  }
  check(state, 'the state', 0)
}

/** Whether it is a value without parts; throws for one that JSON cannot say. */
function isFlat(value: unknown): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true
    case 'number':
      return Number.isFinite(value)
    default:
      return value === null
  }
}

function check(value: unknown, place: string, depth: number): void {
  if (typeof value !== 'object' || value === null) {
    if (!isFlat(value)) throw new StateFault(`${place} is ${nameOf(value)}, which JSON cannot say`)
    return
  }
  if (depth > DEPTH_MAX) throw new StateFault(`${place} is nested deeper than ${DEPTH_MAX}, or holds itself`)
  if (Array.isArray(value)) checkArray(value, place, depth)
  else checkObject(value as Record<string, unknown>, place, depth)
}

function checkArray(value: unknown[], place: string, depth: number): void {
  for (let index = 0; index < value.length; index++) {
    const one = value[index]
    const type = typeof one
    if (type === 'string' || type === 'boolean' || one === null) continue
    if (type === 'number') {
      if (!Number.isFinite(one)) throw new StateFault(`${place}[${index}] is ${one}, which JSON cannot say`)
      if (one === 0) value[index] = 0
      continue
    }
    check(one, type === 'object' ? place : `${place}[${index}]`, depth + 1)
  }
}

function checkObject(value: Record<string, unknown>, place: string, depth: number): void {
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    throw new StateFault(`${place} holds ${nameOf(value)}, which JSON would change`)
  }
  for (const key in value) {
    const one = value[key]
    const type = typeof one
    if (type === 'string' || type === 'boolean' || one === null) continue
    if (type === 'number') {
      if (!Number.isFinite(one)) throw new StateFault(`${place}.${key} is ${one}, which JSON cannot say`)
      if (one === 0) value[key] = 0
    } else if (type === 'undefined') delete value[key]
    else check(one, `${place}.${key}`, depth + 1)
  }
}

function nameOf(value: unknown): string {
  if (typeof value === 'object' && value !== null) {
    const name = (value as { constructor?: { name?: unknown } }).constructor?.name
    if (value instanceof Promise) return 'a Promise (the function must not be async)'
    return typeof name === 'string' && name !== '' ? `a ${name}` : 'an object of a class'
  }
  return value === undefined ? 'undefined' : typeof value === 'number' ? String(value) : `a ${typeof value}`
}
